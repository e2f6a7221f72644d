"""Plans by budget: stored ones, made by ``wan tune`` for a checkpoint, and defaults from published facts."""
