"""Measured tables in the project's documents: written between two markers, nothing else is touched."""

from pathlib import Path

from wan.errors import InvalidInput
from wan.runs import write_text_atomic

BEGIN, END = "<!-- measured:begin -->", "<!-- measured:end -->"


def update_document(path: Path, text: str) -> None:
    """Replace what stands between the two markers; InvalidInput when the document lacks them."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--update_docs: {path} cannot be read ({error}); restore it") from error
    try:
        write_text_atomic(path, replace_between(content, text))
    except ValueError as error:
        raise InvalidInput(f"--update_docs: {path} {error}; restore them") from error


def replace_between(content: str, text: str, *, begin: str = BEGIN, end: str = END) -> str:
    """``content`` with ``text`` between the two markers; ValueError when it lacks them."""
    before, first, rest = content.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise ValueError(f"has no {begin} ... {end} to write between")
    return f"{before}{begin}\n{text}\n{end}{after}"
