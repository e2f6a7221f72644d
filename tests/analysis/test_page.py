"""The page's parts: contrast of its colours, signs beside colours, contents, files shown once, the plan's legend."""

import re
from html import unescape
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from wan.analysis.page import Section, command_block, comparison_table, page, paragraph, verdict
from wan.analysis.page_media import LEAST_SIDE, Media, enlargement
from wan.analysis.page_style import BACKGROUNDS, DARK, DRAWING, LIGHT, RULES, TEXT, stylesheet
from wan.analysis.plan_picture import plan_svg, plan_table

THEMES = {"light": LIGHT, "dark": DARK}
PLAN = {
    "steps": [
        {
            "index": index,
            "sigma": 1.0 - index / 4,
            "timestep": 999 - 250 * index,
            "expert": "high_noise" if index < 2 else "low_noise",
            "latent_frames": 7 if index < 2 else 13,
            "branches": ["cond"] if index == 3 else ["cond", "uncond"],
            "guidance": "cond + 1.7 D" if index == 3 else "cfg 4",
        }
        for index in range(4)
    ]
}


def luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb' (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_on_white_is_known() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(("theme", "text", "background"), list(product(THEMES, TEXT, BACKGROUNDS)))
def test_text_can_be_read(theme: str, text: str, background: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours[text], colours[background]) >= 4.5


@pytest.mark.parametrize(("theme", "drawing"), list(product(THEMES, DRAWING)))
def test_drawings_stand_out(theme: str, drawing: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours[drawing], colours["paper"]) >= 3.0


def test_the_rules_use_no_other_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    texts = re.findall(r"[{;\s]color: ([^;]+);", RULES) + re.findall(r"svg text {[^}]*fill: ([^;]+);", RULES)
    assert texts and set(texts) <= {f"var(--{name})" for name in TEXT}
    backgrounds = set(re.findall(r"background: ([^;]+);", RULES))
    # behind pictures and videos, where the page writes nothing
    assert backgrounds - {"#fff", "#000"} <= {f"var(--{name})" for name in BACKGROUNDS}
    assert set(re.findall(r"var\(--(\w+)\)", RULES)) <= LIGHT.keys()


def test_dark_is_chosen_by_the_system() -> None:
    light, dark = stylesheet().split("@media (prefers-color-scheme: dark)", 1)
    assert LIGHT["paper"] in light and DARK["paper"] in dark.split("\n")[0]


@pytest.mark.parametrize(("good", "sign"), [(True, "✓"), (False, "✗"), (None, "?")])
def test_a_verdict_is_known_without_its_colour(good: bool | None, sign: str) -> None:
    assert f">{sign} word</span> text" in verdict("word", "text", good=good)


def test_the_contents_link_to_every_section() -> None:
    text = page(
        "title", "subtitle", [Section(title="one <b>", content=""), Section(title="two", content="", remark="x")]
    )
    assert '<a href="#section-1">one &lt;b&gt;</a>' in text and '<section id="section-1">' in text
    assert '<a href="#section-2">two</a> (x)' in text and '<section id="section-2">' in text


def test_what_differs_is_marked() -> None:
    text = comparison_table(["A", "B"], [("seed", ["1", "2"]), ("task", ["t", "t"])])
    assert "<tr class=differs><th>≠ seed</th>" in text and "<tr><th>task</th>" in text


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (64, 48)).save(path)
    return path


def test_a_file_is_shown_once_and_linked_afterwards(picture: Path) -> None:
    media = Media()
    first, second = media.show(picture, "first"), media.show(picture.parent / "." / picture.name, "second")
    assert first.startswith('<figure id="media-1"') and "data:image/png;base64," in first
    assert second == '<p class="quiet">second: <a href="#media-1">shown above</a></p>'


def test_small_pictures_are_enlarged_and_the_caption_says_so(picture: Path) -> None:
    text = Media().show(picture, "a <circle>", size=(64, 48))
    assert 'width="320" height="240" class="pixels"' in text
    assert "a &lt;circle&gt;; 64x48 pixels, shown 5 times as large, every pixel as a square" in text
    assert "image-rendering: pixelated" in RULES


@pytest.mark.parametrize(
    ("size", "factor"), [((64, 64), 5), ((32, 32), 10), ((48, 84), 4), ((832, 480), 1), ((320, 16), 1)]
)
def test_the_factor_is_whole_and_enough(size: tuple[int, int], factor: int) -> None:
    assert enlargement(size) == factor
    assert max(size) * factor >= LEAST_SIDE


def test_a_large_picture_stays_as_it_is(picture: Path) -> None:
    text = Media().show(picture, "plain", size=(832, 480))
    assert 'width="832" height="480"' in text and "pixels" not in text
    assert "is missing" in Media().show(picture.parent / "none.png")


def test_the_plan_says_what_its_colours_and_columns_mean() -> None:
    drawing, steps = plan_svg(PLAN), unescape(plan_table(PLAN))
    assert drawing.count('class="cond"') == 4 + 1 and drawing.count('class="skipped"') == 1 + 1
    assert "#" not in drawing  # its colours come from the page
    for part in ("conditional pass", "unconditional pass", "leaves out", "height of a bar", "dashed line", "low noise"):
        assert part in drawing
    for part in ("noise level", "D = cond - uncond", "cond + 1.7 D", "with the negative prompt", "1000 sigma"):
        assert part in steps


def test_characters_that_turn_text_round_are_shown_by_their_numbers() -> None:
    assert command_block("echo a\u202eb") == "<pre>echo &#x27;a[U+202E]b&#x27;</pre>"
    assert paragraph("\u05e9\u05dc\u05d5\u05dd \u200f\u0627") == "<p>\u05e9\u05dc\u05d5\u05dd \u200f\u0627</p>"
