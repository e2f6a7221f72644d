"""Videos made for looking: baseline, method and amplified difference side by side, large enough to see, captioned."""

import numpy as np
from PIL import Image, ImageDraw

from wan.analysis.lettering import draw_line, line_length

GAIN = 4.0
MIN_HEIGHT = 256
_CAPTION_HEIGHT, _BASELINE, _FONT_SIZE = 24, 17, 14
_GAP = 8


def amplified_difference(method: np.ndarray, baseline: np.ndarray, *, gain: float = GAIN) -> np.ndarray:
    """|method - baseline| times ``gain``, cut off at 1: black where both agree."""
    return np.clip(np.abs(method - baseline) * gain, 0.0, 1.0)


def side_by_side(videos: dict[str, np.ndarray]) -> np.ndarray:
    """Videos (N, H, W, 3) in [0, 1] under their names, left to right, as (N, H', W', 3) uint8 with even sides.

    Small videos are enlarged by whole factors, so that every pixel stays a square.
    """
    frames, height, width, _ = next(iter(videos.values())).shape
    factor = max(1, -(-MIN_HEIGHT // height))
    columns = [_column(name, width * factor) for name in videos]
    panel_height = height * factor + _CAPTION_HEIGHT
    total = len(videos) * width * factor + (len(videos) - 1) * _GAP
    result = np.full((frames, panel_height + panel_height % 2, total + total % 2, 3), 255, dtype=np.uint8)
    for number, (video, caption) in enumerate(zip(videos.values(), columns, strict=True)):
        left = number * (width * factor + _GAP)
        result[:, :_CAPTION_HEIGHT, left : left + width * factor] = caption
        for index in range(frames):
            picture = np.rint(video[index] * 255.0).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
            result[index, _CAPTION_HEIGHT:panel_height, left : left + width * factor] = picture
    return result


def _column(name: str, width: int) -> np.ndarray:
    """The caption of one panel as (24, width, 3) uint8."""
    image = Image.new("RGB", (width, _CAPTION_HEIGHT), "white")
    text = name
    while text and line_length(text, size=_FONT_SIZE) > width - 8:
        text = text[:-1]
    draw_line(ImageDraw.Draw(image), (4, _BASELINE), text, size=_FONT_SIZE, fill="#20262c")
    return np.asarray(image)
