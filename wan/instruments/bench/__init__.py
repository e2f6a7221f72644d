"""What the measuring tools for time and memory are made of: variants, timing in turns, random models, memory probes."""
