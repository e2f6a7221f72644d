"""The networks: denoisers, text encoder and VAE, as thin wrappers of diffusers' and transformers' own models."""
