"""Opens a page in headless Chromium, with and without the page's own policy, and looks whether anything ran."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.assault.hostile import MARK

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_TOUCH_EVERYTHING = """<script>
for (const one of document.querySelectorAll('*')) {
  for (const kind of ['mouseover', 'mouseenter', 'focus', 'click', 'load', 'error', 'toggle', 'animationstart'])
    one.dispatchEvent(new Event(kind, {bubbles: false}));
  if (one.tagName === 'A') one.click();
}
document.documentElement.setAttribute('data-touched', 'yes');
</script>"""


def find_browser() -> str | None:
    """The browser of this machine."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def fault_in_browser(browser: str, page: Path, *, title: str) -> str | None:
    """What ran when the page was opened as it is, and without its policy when everything was touched and clicked."""
    text = page.read_text(encoding="utf-8")
    touched = page.with_stem(f"{page.stem}_touched")
    touched.write_text(_POLICY.sub("", text).replace("</body>", f"{_TOUCH_EVERYTHING}</body>"), encoding="utf-8")
    return fault_when_opened(browser, page, title=title) or fault_when_opened(browser, touched, title=title)


def fault_when_opened(browser: str, page: Path, *, title: str) -> str | None:
    """What ran when a page was opened."""
    dom = opened(browser, page)
    root = dom[: dom.find(">", dom.find("<html")) + 1]
    if MARK in root:
        return f"{page.name}: it ran"
    if f"<title>{title}</title>" not in dom:
        return f"{page.name}: its title has changed, or it did not open: {dom[:200]!r}"
    if _TOUCH_EVERYTHING in page.read_text(encoding="utf-8") and "data-touched" not in root:
        return "the page could not be touched: nothing is proved"
    return None


def joined(pages: Sequence[str]) -> str:
    """The bodies of many pages in one."""
    head, _, _ = pages[0].partition("<body>")
    bodies = (page.partition("<body>")[2].rpartition("</body>")[0] for page in pages)
    return f"{head}<body>{''.join(bodies)}</body>\n</html>\n"


def opened(browser: str, page: Path) -> str:
    """The document as the browser has it when it is loaded."""
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += [f"--user-data-dir={profile}", "--virtual-time-budget=3000", "--dump-dom"]
        ended = subprocess.run(
            [browser, *flags, page.absolute().as_uri()], capture_output=True, timeout=120, check=False
        )
    return ended.stdout.decode("utf-8", errors="replace")
