"""Pictures and videos inside a page: every file once, as a link when it comes up again, small ones enlarged."""

import base64
from dataclasses import dataclass, field
from pathlib import Path

from wan.analysis.page import link, paragraph
from wan.analysis.page_text import escaped

# A browser holds a data URI in memory twice; what is larger is named instead of shown.
MAX_EMBEDDED_BYTES = 64 * 2**20
# What is smaller on its longer side is enlarged by a whole factor, to about this size.
LEAST_SIDE = 320
_PNG = b"\x89PNG\r\n\x1a\n"
_KINDS = {".png": "image/png", ".mp4": "video/mp4"}


@dataclass(slots=True)
class Media:
    """What a page shows already: the anchor of every file, and of every folder that has a section of its own."""

    anchors: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path) -> str | None:
        """The anchor of a file or folder; None while the page does not show it."""
        return self.anchors.get(path.resolve())

    def show(self, path: Path, caption: str = "", *, size: tuple[int, int] | None = None) -> str:
        """A PNG, or an mp4 that plays in a loop; a sentence when it is missing or too large.

        With its ``size`` (width, height) in pixels a small one is enlarged, and the caption says so.
        """
        if not path.is_file():
            return paragraph(f"{path.name} is missing", quiet=True)
        anchor = self.place(path)
        if anchor is not None:
            return f'<p class="quiet">{escaped(caption or path.name)}: {link(anchor, "shown above")}</p>'
        if not _is_media(path):
            # a record names its files, and whoever wrote it must not get another file into the page
            return paragraph(f"{path.name} is no PNG picture and no mp4 video", quiet=True)
        number_of_bytes = path.stat().st_size
        if number_of_bytes > MAX_EMBEDDED_BYTES:
            return paragraph(f"{path} ({number_of_bytes / 1e6:.0f} MB) is too large to put into this page", quiet=True)
        anchor = self.anchors[path.resolve()] = f"media-{len(self.anchors) + 1}"
        factor = 1 if size is None else enlargement(size)
        caption = "; ".join(part for part in (caption, _size_note(size, factor)) if part)
        note = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
        frame = ' class="chart"' if size is None else f' style="max-width: {size[0] * factor}px"'
        return f'<figure id="{anchor}"{frame}>{note}{_element(path, caption, size, factor)}</figure>'


def _is_media(path: Path) -> bool:
    """Whether a file is what its suffix says, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(8)
    return {".png": head == _PNG, ".mp4": head[4:] == b"ftyp"}.get(path.suffix.lower(), False)


def enlargement(size: tuple[int, int]) -> int:
    """The whole factor that a picture of ``size`` is shown with; 1 for one that is large enough."""
    return max(1, -(-LEAST_SIDE // max(*size, 1)))


def _size_note(size: tuple[int, int] | None, factor: int) -> str:
    if size is None or factor == 1:
        return ""
    return f"{size[0]}x{size[1]} pixels, shown {factor} times as large, every pixel as a square"


def _element(path: Path, caption: str, size: tuple[int, int] | None, factor: int) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f'src="data:{_KINDS[path.suffix.lower()]};base64,{data}"'
    scale = "" if size is None else f' width="{size[0] * factor}" height="{size[1] * factor}"'
    scale += ' class="pixels"' if factor > 1 else ""
    name = escaped(caption or path.stem)
    if path.suffix.lower() == ".png":
        return f'<img alt="{name}"{scale} {source}>'
    return f'<video controls loop muted autoplay playsinline aria-label="{name}"{scale} {source}></video>'
