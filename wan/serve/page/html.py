"""Small pieces of HTML that the tabs are put together from; every text of a user or of a record is escaped."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from wan.analysis.page_text import escaped


def whole(*parts: str, kind: str = "") -> str:
    """What the style of the page applies to."""
    return f'<div class="{f"wan {kind}".strip()}">{"".join(parts)}</div>'


def paragraph(text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escaped(text)}</p>"


def fault(text: str) -> str:
    """A refusal, read out by screen readers as soon as it is there."""
    return whole(f'<p class="fault" role="alert">{escaped(text)}</p>') if text else ""


def note(text: str) -> str:
    return whole(f'<p class="note" role="status">{escaped(text)}</p>') if text else ""


def bullets(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def button(act: str, name: str, label: str, *, kind: str = "", confirm: str = "") -> str:
    """A button of a list: ``act`` on the run ``name``; ``confirm`` is asked first, where it is given."""
    asked = f' data-confirm="{escaped(confirm)}"' if confirm else ""
    key = escaped(f"{act} {name}")
    return (
        f'<button type="button" class="{kind}" data-act="{act}" data-name="{escaped(name)}" data-key="{key}"{asked}>'
        f"{escaped(label)}</button>"
    )


def copy_button(text: str, label: str, done: str) -> str:
    """Puts ``text`` on the clipboard, and says ``done`` for a moment."""
    return (
        f'<button type="button" data-copy="{escaped(text)}" data-done="{escaped(done)}" '
        f'data-key="copy {escaped(label)}">{escaped(label)}</button>'
    )


def badge(state: str, label: str) -> str:
    return f'<span class="badge {escaped(state)}">{escaped(label)}</span>'


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Values in large type, each over what it is."""
    cells = "".join(
        f'<div class="figure"><b>{escaped(value)}</b><span>{escaped(name)}</span></div>' for value, name in pairs
    )
    return f'<div class="figures">{cells}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns from the second on are numbers."""
    kinds = ["", *([' class="number"'] * (len(header) - 1))]
    head = "".join(f"<th{kind}>{escaped(cell)}</th>" for kind, cell in zip(kinds, header, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in rows)
    return f'<div class="scroll"><table><tbody>{body}</tbody></table></div>'


def folded(summary: str, content: str) -> str:
    return f"<details><summary>{escaped(summary)}</summary>{content}</details>"


def preformatted(text: str) -> str:
    return f"<pre>{escaped(text)}</pre>"


def row(*parts: str) -> str:
    return f'<div class="row">{"".join(parts)}</div>'


def address(run: str, file: str, *, version: int = 0, download: bool = False) -> str:
    """The address of a run's file, from the page; ``version`` changes with the file, so that no old one is shown."""
    query = "?download=1" if download else f"?v={version}" if version else ""
    return f"../files/{quote(run)}/{quote(file)}{query}"
