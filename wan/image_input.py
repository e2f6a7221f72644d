"""The image file that a video starts from: which tasks take one, its size, its pixels."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wan.configs import TaskConfig
from wan.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

_NEEDS_IMAGE: Mapping[str, bool | None] = {"WanT2V": False, "WanI2V": True, "WanTI2V": None}
"""By entry class; None: as the user likes."""


def image_path(config: TaskConfig, path: str | None, *, dry_run: bool = False) -> Path | None:
    """``--image`` as a path; ``InvalidInput`` when the task takes none, or needs one to make a video from."""
    needed = _NEEDS_IMAGE[config.entry]
    if path is None and needed and not dry_run:
        raise InvalidInput(f"--task {config.name} makes a video from an image; give one with --image FILE")
    if path is not None and needed is False:
        raise InvalidInput(f"--image {path} cannot be used: --task {config.name} starts from text alone; leave it out")
    return None if path is None else Path(path)


def open_image(path: Path) -> "Image.Image":
    """An image file as RGB; ``InvalidInput`` when it is missing or no picture."""
    from PIL import Image  # only here: most runs have no image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"--image {path} cannot be read as a picture ({error}); give a PNG, JPEG or WebP") from error
