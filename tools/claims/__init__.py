"""The measured claims and tables of this repository's documents."""
