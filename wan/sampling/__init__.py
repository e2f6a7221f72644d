"""The sampling core: a plan made before the first forward, and the loop that executes it (no I/O, no checkpoints)."""
