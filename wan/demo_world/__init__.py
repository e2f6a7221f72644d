"""The closed world of the demo model, whose ground truth is known: words, rendered clips, and their detector."""
