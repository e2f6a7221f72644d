"""The image that a video starts from, brought to the video's size as the official code does it."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from wan.errors import InvalidInput
from wan.pictures import as_shown


def checked(image: object, warn: Callable[[str], None]) -> Image.Image:
    """The image in RGB as a viewer shows it; what was changed for that goes to ``warn``.

    ``InvalidInput`` when it is something else, or cannot be read.
    """
    if not isinstance(image, Image.Image):
        raise InvalidInput(
            f"img is a {type(image).__name__} and must be a PIL image; open it with PIL.Image.open(path)"
        )
    shown, notices = as_shown(image, name="img")
    for notice in notices:
        warn(notice)
    return shown


def to_pixels(image: Image.Image) -> Tensor:
    """(3, H, W) in [-1, 1], float32."""
    array = np.array(as_shown(image, name="img")[0])
    return (torch.from_numpy(array).permute(2, 0, 1).to(torch.float32) / 255 - 0.5) / 0.5


def stretched(pixels: Tensor, *, height: int, width: int) -> Tensor:
    """(3, H, W) to (3, height, width): bicubic without antialiasing, nothing cut off (i2v)."""
    return interpolate(pixels[None], size=(height, width), mode="bicubic")[0]


def covered(image: Image.Image, *, height: int, width: int) -> Image.Image:
    """Scaled until it covers the video's size (Lanczos), then its middle cut out (ti2v)."""
    scale = max(width / image.width, height / image.height)
    resized = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    return resized.crop((left, top, left + width, top + height))
