"""What tools/measure_memory.py measures with."""
