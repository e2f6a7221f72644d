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
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InvalidInput(f"--update_docs: {path} has no {BEGIN} ... {END} to write between; restore them")
    write_text_atomic(path, f"{before}{BEGIN}\n{text}\n{END}{after}")
