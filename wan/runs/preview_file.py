"""``preview.webp``: a few small frames as an animated picture that every browser and picture viewer shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wan.runs.atomic import atomic_path

LONG_SIDE = 320
"""Pixels: a latent of 832 x 480 has 104 x 60, which a viewer shows as a stamp."""
_ENCODER = {"quality": 75, "method": 0}
"""The fastest: on the frames of a preview the slowest saves a tenth of the bytes for twice the time."""


def write_preview(path: Path, frames: np.ndarray, *, milliseconds: Sequence[int]) -> None:
    """Replace ``path`` by frames (F, h, w, 3) uint8, each shown for so long, in a loop; OSError when that fails."""
    height, width = frames.shape[1:3]
    scale = max(1, round(LONG_SIDE / max(height, width)))
    pictures = [
        Image.fromarray(frame).resize((width * scale, height * scale), Image.Resampling.BICUBIC) for frame in frames
    ]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=list(milliseconds),
            loop=0,
            **_ENCODER,
        )
