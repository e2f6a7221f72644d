"""A run's video, preview or picture as HTML: on the large screen of *Watch*, and on a card of *Runs*."""

from pathlib import Path

from wan.analysis.page_text import escaped
from wan.serve.page import html
from wan.serve.page.context import Context
from wan.serve.page.shown import Shown

PIXELS_UP_TO = 256
"""Videos up to this width are enlarged with every pixel as a square."""


def screen(context: Context, run: Shown) -> str:
    """The video, or the newest preview while it is made, or a sentence."""
    words = context.words
    if run.file is not None and run.is_over:
        return _framed(_playing(run, run.file, words("video_of", prompt=run.prompt)), "")
    estimate = decoded_estimate(run.folder)
    if run.is_over and estimate is not None:
        return _framed(_playing(run, estimate, words("estimate")), words("estimate"))
    if run.preview is not None:
        return _framed(_picture(run, run.preview, words("preview_of", prompt=run.prompt)), words("preview_said"))
    waiting = {"waiting": "screen_waiting", "running": "screen_loading"}.get(run.state, "screen_nothing")
    return _framed(f"<p>{escaped(words(waiting))}</p>", "")


def on_card(context: Context, run: Shown) -> str:
    """The same, small and still: it plays under the pointer."""
    if run.file is not None and run.file.suffix == ".mp4":
        return (
            f'<video muted loop playsinline preload="metadata" tabindex="-1"{_pixels(run)} '
            f'src="{_address(run, run.file)}#t=0.01"></video>'
        )
    shown = run.file or run.preview
    if shown is not None:
        return _picture(run, shown, "")
    return f"<p>{escaped(context.words('screen_nothing'))}</p>"


def decoded_estimate(folder: Path) -> Path | None:
    """The newest video that was decoded from a stopped run."""
    found = sorted(folder.glob("after_step_*.mp4"))
    return found[-1] if found else None


def size_of(run: Shown) -> tuple[int, int]:
    """(width, height) in pixels; (0, 0) where nobody knows."""
    if run.entry is not None:
        return run.entry.size
    size = run.record.get("settings", {}).get("size", (0, 0))
    return int(size[0]), int(size[1])


def _playing(run: Shown, path: Path, label: str) -> str:
    if path.suffix == ".png":
        return _picture(run, path, label)
    return (
        f'<video controls loop muted autoplay playsinline aria-label="{escaped(label)}"{_pixels(run)} '
        f'src="{_address(run, path)}"></video>'
    )


def _picture(run: Shown, path: Path, label: str) -> str:
    return f'<img alt="{escaped(label)}"{_pixels(run)} src="{_address(run, path)}">'


def _address(run: Shown, path: Path) -> str:
    try:
        version = path.stat().st_mtime_ns // 1_000_000
    except OSError:
        version = 0
    return html.address(run.name, path.name, version=version)


def _pixels(run: Shown) -> str:
    return ' class="pixels"' if 0 < size_of(run)[0] <= PIXELS_UP_TO else ""


def _framed(content: str, caption: str) -> str:
    said = html.paragraph(caption, "quiet") if caption else ""
    return html.whole(f'<div class="screen">{content}</div>', said)
