"""Which pixel frames stand behind kept latent frames in half-frame generation, and which behind filled ones."""

import numpy as np


def kept_pixel_frames(pixel_frames: int, *, stride: int = 4) -> np.ndarray:
    """Mask (N,): True behind latent frames 0, 2, 4, ...; the first stands for one frame, each other for ``stride``."""
    latent_frame = (np.arange(pixel_frames) + stride - 1) // stride
    return latent_frame % 2 == 0
