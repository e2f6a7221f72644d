"""Chinese in pictures: the shipped font, real glyphs in figures and captions without a warning, line breaks."""

import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import make_cjk_font
from wan.analysis import plots
from wan.analysis.lettering import CJK_FONT, display_width, font_families, line_length, wrapped
from wan.analysis.pictures import side_by_side

ROOT = Path(__file__).parents[2]
PROMPT = "一个红色的圆在蓝色背景上向右移动，電影感（かな）"


def draw_title(path: Path, title: str) -> np.ndarray:
    with plots.figure(path, rows=1, columns=1, size=(9, 2), title=title) as (axes,):
        axes.set_axis_off()
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def glyphs(picture: np.ndarray) -> list[np.ndarray]:
    """The separate columns of ink, left to right, each cut to its box."""
    ink = picture < 128
    filled = np.flatnonzero(ink.any(axis=0))
    parts = np.split(filled, np.flatnonzero(np.diff(filled) > 1) + 1)
    return [ink[:, part[0] : part[-1] + 1] for part in parts]


def test_the_font_has_the_characters_of_the_national_tables() -> None:
    from matplotlib.ft2font import FT2Font

    missing = make_cjk_font.wanted_characters() - FT2Font(CJK_FONT).get_charmap().keys()
    simplified = {c for c in make_cjk_font.wanted_characters() if chr(c).encode("gb2312", "ignore")}
    assert len(simplified) > 6763
    # what the source lacks: unassigned places of the blocks and a few signs, no Chinese character
    assert not {c for c in missing if 0x4E00 <= c < 0xA000}
    assert CJK_FONT.stat().st_size < 2_000_000


def test_the_package_brings_the_font_and_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["wan.analysis"] == ["fonts/*"]
    assert "Apache License" in (CJK_FONT.parent / "LICENSE").read_text(encoding="utf-8")


def test_a_chinese_title_is_drawn_in_glyphs_and_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = draw_title(tmp_path / "title.png", PROMPT)
        few = (
            glyphs(draw_title(tmp_path / "few.png", "水火山木")),
            glyphs(draw_title(tmp_path / "same.png", "水水水水")),
        )
    assert not caplog.records
    assert picture.min() < 100
    # boxes would all look alike
    different, alike = ([glyph.tobytes() for glyph in found] for found in few)
    assert len(set(different)) > len(set(alike))


def test_a_character_that_no_font_has_is_still_reported(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="missing from font"):
        draw_title(tmp_path / "title.png", "\U00020000")


def test_latin_comes_first_from_dejavu() -> None:
    assert font_families()[0] == "DejaVu Sans"
    assert font_families() is font_families()


def test_captions_of_videos_show_chinese() -> None:
    video = np.zeros((1, 256, 256, 3))
    captions = [side_by_side({name: video})[0, :24] for name in ("截断", "补全", "截断")]
    assert all(caption.min() < 100 for caption in captions)
    assert np.array_equal(captions[0], captions[2]) and not np.array_equal(captions[0], captions[1])
    assert line_length("截断", size=14) == pytest.approx(28, abs=1)


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("half-frame, improved, CFG 5 + 3, decay", 16, ["half-frame,", "improved, CFG 5", "+ 3, decay"]),
        ("红色的圆，向右移动", 8, ["红色的", "圆，向右", "移动"]),
        ("a/very/long/path", 8, ["a/very/l", "ong/path"]),
        ("kept\nlines", 20, ["kept", "lines"]),
        ("", 5, [""]),
    ],
)
def test_lines_break_by_the_width_that_is_seen(text: str, columns: int, lines: list[str]) -> None:
    assert wrapped(text, columns).split("\n") == lines
    assert all(display_width(line) <= columns for line in lines)


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    assert wrapped("一二三四五六七八九十" * 3, 20, most_lines=2) == "一二三四五六七八九十\n一二三四五六七八 ..."
