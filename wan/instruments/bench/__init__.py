"""What `wan bench` is made of: variants, timing in turns, random models, tables."""
