"""Prompt extension: a language model writes a short prompt out before the run (knows no run and no request)."""
