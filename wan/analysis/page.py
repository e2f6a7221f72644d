"""One self-contained HTML page: contents, sections, tables and commands; nothing from the network."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wan.analysis.page_style import stylesheet
from wan.analysis.page_text import escaped

_MARKS = {True: ("met", "✓"), False: ("missed", "✗"), None: ("open", "?")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A part of the page: its heading, what the list of contents adds to it, and HTML."""

    title: str
    content: str
    remark: str = ""


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """The whole document; the policy in its head forbids any request to a network."""
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{stylesheet()}</style>\n</head>\n<body>\n"
        f'<h1>{escaped(title)}</h1>\n<p class="quiet">{escaped(subtitle)}</p>\n{_contents(sections)}\n'
        + "\n".join(_numbered(number, section) for number, section in enumerate(sections, start=1))
        + "\n</body>\n</html>\n"
    )


def section_anchor(number: int) -> str:
    """The name of the ``number``-th section (from 1) in a link."""
    return f"section-{number}"


def link(anchor: str, text: str) -> str:
    """A link to a place on the page."""
    return f'<a href="#{anchor}">{escaped(text)}</a>'


def heading(text: str, *, level: int = 3) -> str:
    return f"<h{level}>{escaped(text)}</h{level}>"


def paragraph(text: str, *, quiet: bool = False) -> str:
    return f'<p class="quiet">{escaped(text)}</p>' if quiet else f"<p>{escaped(text)}</p>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """Columns from ``numbers_from`` on are aligned to the right."""
    head = "".join(f"<th{_number_class(i, numbers_from)}>{escaped(cell)}</th>" for i, cell in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{_number_class(i, numbers_from)}>{escaped(c)}</td>" for i, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f'<div class="scroll"><table>{top}<tbody>{body}</tbody></table></div>'


def comparison_table(header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """One column per thing compared; ``header`` is HTML. Rows with different values get a sign and bold type."""
    body = ""
    for name, values in rows:
        differs = len(set(values)) > 1
        cells = "".join(f"<td>{escaped(value)}</td>" for value in values)
        body += (
            f"<tr{' class=differs' if differs else ''}><th>{'≠ ' if differs else ''}{escaped(name)}</th>{cells}</tr>"
        )
    head = "".join(f"<th>{cell}</th>" for cell in ("", *header))
    return (
        f'<div class="scroll"><table class="compare"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A two-column table of names and values."""
    body = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in rows)
    return f"<table><tbody>{body}</tbody></table>"


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """A legend: terms and what they mean."""
    return "<dl>" + "".join(f"<dt>{escaped(term)}</dt><dd>{escaped(text)}</dd>" for term, text in rows) + "</dl>"


def preformatted(text: str) -> str:
    return f"<pre>{escaped(text)}</pre>"


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
    return f"<details><summary>{escaped(summary)}</summary>{content}</details>"


def row(parts: Iterable[str]) -> str:
    """Side by side where the window allows."""
    return '<div class="row">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def side_by_side(parts: Iterable[str]) -> str:
    """In columns of equal width, as many as the window allows."""
    return '<div class="side">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def verdict(word: str, text: str, *, good: bool | None) -> str:
    """A line that starts with a sign and a word: good, bad, or undecided (None)."""
    name, sign = _MARKS[good]
    return f'<p><span class="{name}">{sign} {escaped(word)}</span> {escaped(text)}</p>'


def alert(word: str, lines: Iterable[str]) -> str:
    """A box that cannot be overlooked."""
    return f'<div class="alert" role="note"><strong>✗ {escaped(word)}</strong>{"".join(map(paragraph, lines))}</div>'


def _contents(sections: Sequence[Section]) -> str:
    items = "".join(
        f"<li>{link(section_anchor(number), section.title)}{escaped(section.remark and f' ({section.remark})')}</li>"
        for number, section in enumerate(sections, start=1)
    )
    return f'<nav aria-label="Contents"><h2>Contents</h2><ol>{items}</ol></nav>'


def _numbered(number: int, section: Section) -> str:
    return f'<section id="{section_anchor(number)}">\n{heading(section.title, level=2)}\n{section.content}\n</section>'


def _number_class(index: int, numbers_from: int) -> str:
    return ' class="number"' if index >= numbers_from else ""
