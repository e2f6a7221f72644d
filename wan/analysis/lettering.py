"""Text in pictures: fonts that also have Chinese and Japanese, and line breaks by the width that is seen."""

import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

CJK_FONT = Path(__file__).parent / "fonts" / "cjk.ttf"
CJK_FAMILY = "Wan Pictures CJK"
# From here on characters are drawn with the CJK font; what lies below is Latin, Greek, Cyrillic, arrows and signs.
FIRST_CJK = 0x2E80
ELLIPSIS = " ..."
# Never first in a line.
_CLOSING = frozenset(" '\",.;:!?)]}，。、；：！？）】》」』”’")


@cache
def font_families() -> list[str]:
    """Font families for matplotlib, which takes every character from the first that has it; registers the CJK font."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    manager.addfont(CJK_FONT)
    regular = next(entry for entry in manager.ttflist if entry.name == CJK_FAMILY)
    # there is one weight; a bold title takes it too, and matplotlib need not say so for every figure
    manager.ttflist.append(replace(regular, weight=700))
    return ["DejaVu Sans", CJK_FAMILY]


def draw_line(canvas: "ImageDraw.ImageDraw", position: tuple[float, float], text: str, *, size: int, fill: str) -> None:
    """Draw one line of text with PIL, its baseline starting at ``position``."""
    left, baseline = position
    for part, font in _parts(text, size):
        canvas.text((left, baseline), part, fill=fill, font=font, anchor="ls")
        left += font.getlength(part)


def line_length(text: str, *, size: int) -> float:
    """Pixels that ``draw_line`` needs."""
    return sum(font.getlength(part) for part, font in _parts(text, size))


def display_width(text: str) -> int:
    """Columns of ``text`` in a fixed-width font: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def wrapped(text: str, columns: int, *, most_lines: int = 100) -> str:
    """``text`` in lines of at most ``columns``, broken at spaces and between Chinese characters.

    What does not fit into ``most_lines`` is left out, with an ellipsis. Lines that the text has already stay lines.
    """
    lines = [line for paragraph in text.split("\n") for line in _lines(paragraph, columns)]
    if len(lines) <= most_lines:
        return "\n".join(lines)
    last = lines[most_lines - 1]
    while last and display_width(last + ELLIPSIS) > columns:
        last = last[:-1]
    return "\n".join([*lines[: most_lines - 1], last.rstrip() + ELLIPSIS])


def _lines(text: str, columns: int) -> Iterator[str]:
    line = ""
    for unit in _units(text, columns):
        if line.strip() and display_width(line + unit.rstrip()) > columns:
            yield line.rstrip()
            line = ""
        line += unit
    yield line.rstrip()


def _units(text: str, columns: int) -> Iterator[str]:
    """What a line break never divides: words with the space after them, and Chinese characters with a closing mark."""
    word = ""
    for character in text:
        is_break = word.endswith(" ") or display_width(character) == 2 or display_width(word[-1:]) == 2
        is_full = display_width(word + character) > columns
        if word and (is_full or (is_break and character not in _CLOSING)):
            yield word
            word = ""
        word += character
    if word:
        yield word


def _parts(text: str, size: int) -> Iterator[tuple[str, "ImageFont.FreeTypeFont"]]:
    for is_cjk, characters in groupby(text, key=lambda character: ord(character) >= FIRST_CJK):
        yield "".join(characters), _font(is_cjk, size)


@cache
def _font(is_cjk: bool, size: int) -> "ImageFont.FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    latin = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(CJK_FONT if is_cjk else latin, size)
