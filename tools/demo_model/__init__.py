"""The demo model's own world: clips, captions, detector, training stages and evaluation (used by tools/ only)."""
