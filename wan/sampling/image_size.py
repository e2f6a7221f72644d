"""The size of a video that starts from an image: its area is asked for, its aspect ratio is the image's."""

import math
from collections.abc import Callable, Mapping

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.sampling.geometry import Geometry, geometry_for

Size = tuple[int, int]
"""(width, height) in pixels."""


def image_geometry(config: TaskConfig, *, image_size: Size, max_area: int, frame_num: int) -> Geometry:
    """The shape of the task's video of at most about ``max_area`` pixels for an image of (width, height)."""
    size = SIZE_RULES[config.size_rule](image_size, max_area, config.size_multiple)
    if min(size) < 1:
        raise InvalidInput(
            f"--image of {image_size[0]}*{image_size[1]} pixels is too narrow for a video of {max_area} pixels; "
            "crop it or raise --size"
        )
    return geometry_for(config, size=size, frame_num=frame_num)


def floor_both(image_size: Size, max_area: int, multiples: Size) -> Size:
    """i2v: the exact width and height of that area, each rounded down to its multiple."""
    aspect_ratio = image_size[1] / image_size[0]
    exact = math.sqrt(max_area / aspect_ratio), math.sqrt(max_area * aspect_ratio)
    width, height = (int(pixels // multiple) * multiple for pixels, multiple in zip(exact, multiples, strict=True))
    return width, height


def floor_closest(image_size: Size, max_area: int, multiples: Size) -> Size:
    """ti2v: one side rounded down, the other filled up to the area; of both ways the one nearer to the aspect."""
    ratio = image_size[0] / image_size[1]
    width = _floor(math.sqrt(max_area * ratio), multiples[0])
    height = _floor(max_area / math.sqrt(max_area * ratio), multiples[1])
    if not width or not height:
        return 0, 0
    by_width = width, _floor(max_area / width, multiples[1])
    by_height = _floor(max_area / height, multiples[0]), height

    def distortion(size: Size) -> float:
        own = size[0] / size[1] if min(size) else math.inf
        return max(ratio / own, own / ratio)

    return by_width if distortion(by_width) < distortion(by_height) else by_height


SIZE_RULES: Mapping[str, Callable[[Size, int, Size], Size]] = {
    "floor_both": floor_both,
    "floor_closest": floor_closest,
}


def _floor(pixels: float, multiple: int) -> int:
    return int(pixels // multiple) * multiple
