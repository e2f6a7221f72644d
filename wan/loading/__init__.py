"""Checkpoints on disk: which layout a directory has, what is in it, and the models it holds."""
