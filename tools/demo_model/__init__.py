"""How the demo model is made: its text, latents, training stages and evaluation (its world is wan/demo_world)."""
