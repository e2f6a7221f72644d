"""``wan tune``: finds, on recorded runs of one checkpoint, the plan with the least error for every budget."""
