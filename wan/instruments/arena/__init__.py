"""The arena: methods x prompts x seeds of one YAML suite on one checkpoint, scored, resumable (``wan bench arena``)."""
