"""Files of others, read without trusting them: JSON, safetensors headers, torch archives. Runs and imports nothing."""
