"""The image file that a video starts from: which tasks take one, and its pixels."""

from pathlib import Path
from typing import TYPE_CHECKING

from wan.configs import TaskConfig
from wan.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image


def image_path(config: TaskConfig, path: Path | None, *, is_needed: bool = True) -> Path | None:
    """``--image``; ``InvalidInput`` when the task takes none, or needs one and ``is_needed`` asks for it now."""
    if path is None and config.image == "needed" and is_needed:
        raise InvalidInput(f"--task {config.name} makes a video from an image; give one with --image FILE")
    if path is not None and config.image == "none":
        raise InvalidInput(f"--image {path} cannot be used: --task {config.name} starts from text alone; leave it out")
    return path


def open_image(path: Path) -> "Image.Image":
    """An image file as RGB; ``InvalidInput`` when it is missing or no picture."""
    from PIL import Image  # only here: most runs have no image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"--image {path} cannot be read as a picture ({error}); give a PNG, JPEG or WebP") from error
