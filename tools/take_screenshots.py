"""Takes the pictures of the page that stand in the documents: a service of the demo model, looked at in Chromium.

python tools/take_screenshots.py              writes docs/images/page-*.png
python tools/take_screenshots.py --all        every tab, in both languages, both widths, light and dark
"""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from door import run_tool, tool_parser
from wan.commands import SOURCE_DIR
from wan.runs import atomic_path

NAME = "take_screenshots.py"
WIDE, NARROW = (1600, 1000), (390, 844)
TABS = ("generate", "watch", "queue", "compare", "runs")
MOST_ERROR = 8
"""Of 255 levels, by which a colour may differ in a picture with fewer colours."""
PROMPTS = (
    ("a red circle moving right on a blue background", 7),
    ("a yellow square bouncing on a purple background", 1),
    ("a green triangle spinning on a white background", 2),
    ("a cyan circle growing on a black background", 3),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One picture: a tab in a language, a colour scheme and a window (width, height) in pixels."""

    tab: str
    language: str = "en"
    scheme: str = "light"
    window: tuple[int, int] = WIDE

    @property
    def name(self) -> str:
        return f"page-{self.tab}-{self.language}-{self.scheme}-{self.window[0]}.png"


IN_THE_DOCUMENTS = (
    *(Shot(tab=tab) for tab in TABS),
    Shot(tab="generate", language="zh"),
    Shot(tab="compare", language="zh", scheme="dark"),
    Shot(tab="generate", language="zh", window=NARROW),
    Shot(tab="watch", scheme="dark", window=NARROW),
)


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--output_dir", type=Path, default=SOURCE_DIR / "docs" / "images", help="(%(default)s)")
    parser.add_argument("--all", action="store_true", help="every tab in every language, scheme and width")
    args = parser.parse_args(argv)
    # imported here: what the tests use needs Gradio and Playwright, and --help does not
    from tests.serve.page_service import finished, running_browser, running_service

    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as (desk, address):
        kept = []
        for prompt, seed in PROMPTS:
            for shortcuts in ({}, {"budget": 0.5}):
                entry = finished(desk, desk.submit({"prompt": prompt, "base_seed": seed, **shortcuts}).id)
                kept.append(entry.run_folder.name)
        with running_browser() as browser:
            for shot in _every() if args.all else IN_THE_DOCUMENTS:
                path = args.output_dir / shot.name
                with atomic_path(path) as temporary:
                    _take(browser, desk, address, shot, kept, temporary)
                print(f"{path.stat().st_size / 1000:6.0f} kB  {path}")


def _every() -> Iterator[Shot]:
    for tab, language, scheme, window in product(TABS, ("en", "zh"), ("light", "dark"), (WIDE, NARROW)):
        yield Shot(tab=tab, language=language, scheme=scheme, window=window)


def _take(browser: Any, desk: Any, address: str, shot: Shot, kept: Sequence[str], path: Path) -> None:
    (width, height), run = shot.window, kept[-1]
    locale = {"en": "en-GB", "zh": "zh-CN"}[shot.language]
    window = {"width": width, "height": height}
    context = browser.new_context(viewport=window, color_scheme=shot.scheme, locale=locale)
    page = context.new_page()
    if shot.tab == "queue":  # something is made, and two wait, of which one can be made next
        for prompt, seed in PROMPTS[:3]:
            desk.submit({"prompt": prompt, "base_seed": seed + 100})
    page.goto(f"{address}/{shot.language}/" + (f"?run={run}" if shot.tab == "compare" else ""))
    page.locator("#quote .figures").wait_for(timeout=60_000, state="attached")
    if shot.tab == "compare":
        page.locator('#progress [data-act="partner"]').click(timeout=60_000)
        page.locator("#comparison .duo-box").wait_for(timeout=180_000)
    elif shot.tab == "watch":
        page.locator("#generate").click()
        page.wait_for_function("document.querySelectorAll('#progress .steps i.done').length > 9", timeout=120_000)
    else:
        page.get_by_role("tab").nth(TABS.index(shot.tab)).click()
    if shot.tab == "queue":
        page.locator("#queue progress").wait_for(timeout=120_000)
    page.wait_for_timeout(0 if shot.tab == "watch" else 1500)
    page.screenshot(path=path, full_page=True, type="png")
    context.close()
    if shot.tab in ("watch", "queue"):  # so that the other pictures do not depend on their order
        for entry in [one for one in desk.entries() if one.run_folder.name not in kept]:
            desk.delete(entry.id)
    _shrink(path)


def _shrink(path: Path) -> None:
    """The same picture in fewer bytes: with 256 colours, where nobody would see it."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        whole = picture.convert("RGB")
    small = whole.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    error = np.abs(np.asarray(small.convert("RGB"), dtype=int) - np.asarray(whole)).max()
    (small if error <= MOST_ERROR else whole).save(path, format="PNG", optimize=True)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
