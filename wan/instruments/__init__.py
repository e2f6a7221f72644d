"""The measuring instruments: methods and their baseline, comparisons, temporal continuity, timing (they run models)."""
