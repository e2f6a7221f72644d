"""One video on several devices: processes that share a sequence, the guidance branches and the weights."""
