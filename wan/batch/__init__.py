"""Many requests through one folder: a queue of claim files, the workers that empty it, and its index and page."""
