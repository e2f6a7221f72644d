"""One self-contained HTML page: style, tables, pictures and videos inside the file, nothing from the network."""

import base64
import shlex
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

# A browser holds a data URI in memory twice; what is larger is named instead of shown.
MAX_EMBEDDED_BYTES = 64 * 2**20
_KINDS = {".png": "image/png", ".mp4": "video/mp4"}

_STYLE = """
:root { color-scheme: light; --ink: #20262c; --quiet: #5d6670; --line: #dfe3e7; --panel: #f6f8f9; --blue: #2f6db3;
  --orange: #d9822b; --green: #3c8d5a; --red: #b8433f; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 28px 24px 64px; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 44px 0 8px; padding-top: 14px;
  border-top: 2px solid var(--line); overflow-wrap: anywhere; } h3 { font-size: 16px; margin: 24px 0 6px; }
p { margin: 6px 0; } .quiet { color: var(--quiet); font-size: 13.5px; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 8px 0; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--quiet); } td.number, th.number { text-align: right; }
.scroll { overflow-x: auto; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
figure { margin: 12px 0; }
figure img { max-width: min(100%, 960px); border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--quiet); font-size: 13.5px; margin-bottom: 4px; }
video { max-width: 100%; min-width: 256px; border-radius: 6px; background: #000; image-rendering: pixelated;
  display: block; }
.row { display: flex; flex-wrap: wrap; gap: 26px; align-items: flex-start; }
.met, .missed { display: inline-block; border-radius: 4px; padding: 0 7px; color: #fff; font-size: 13px; }
.met { background: var(--green); } .missed { background: var(--red); }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--blue); }
svg text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--quiet); }
"""


def page(title: str, subtitle: str, sections: Iterable[str]) -> str:
    """The whole document; the policy in its head forbids any request to a network."""
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="quiet">{escape(subtitle)}</p>\n'
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def heading(text: str, *, level: int = 2) -> str:
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, *, quiet: bool = False) -> str:
    return f'<p class="quiet">{escape(text)}</p>' if quiet else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """Columns from ``numbers_from`` on are aligned to the right."""
    head = "".join(f"<th{_number_class(i, numbers_from)}>{escape(cell)}</th>" for i, cell in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{_number_class(i, numbers_from)}>{escape(c)}</td>" for i, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A two-column table of names and values."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table><tbody>{body}</tbody></table>"


def preformatted(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def command_block(command: str) -> str:
    """A shell command with a line for every flag, which can be copied as it stands."""
    try:
        words = shlex.split(command)
    except ValueError:  # not from this program: shown as it is
        return preformatted(command)
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return preformatted(" \\\n    ".join(" ".join(line) for line in lines))


def folded(summary: str, content: str) -> str:
    """Shown on a click."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def row(parts: Iterable[str]) -> str:
    """Side by side where the window allows."""
    return '<div class="row">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def verdict(word: str, text: str, *, good: bool) -> str:
    """A line with a green or red mark before it."""
    return f'<p><span class="{"met" if good else "missed"}">{escape(word)}</span> {escape(text)}</p>'


def picture(path: Path, caption: str = "") -> str:
    """A PNG inside the page; a sentence when it is missing or too large."""
    return _embedded(path, caption, lambda uri: f'<img alt="{escape(caption or path.stem)}" src="{uri}">')


def video(path: Path, caption: str = "") -> str:
    """An mp4 inside the page, playing in a loop."""
    return _embedded(path, caption, lambda uri: f'<video controls loop muted autoplay playsinline src="{uri}"></video>')


def _embedded(path: Path, caption: str, element: Callable[[str], str]) -> str:
    if not path.is_file():
        return paragraph(f"{path.name} is missing", quiet=True)
    size = path.stat().st_size
    if size > MAX_EMBEDDED_BYTES:
        return paragraph(f"{path} ({size / 1e6:.0f} MB) is too large to put into this page", quiet=True)
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{note}{element(f'data:{_KINDS[path.suffix]};base64,{data}')}</figure>"


def _number_class(index: int, numbers_from: int) -> str:
    return ' class="number"' if index >= numbers_from else ""
