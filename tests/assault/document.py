"""Puts the assault's table into docs/reliability.md and its Chinese twin, between their markers."""

import os
from pathlib import Path

_DOCS = Path(__file__).resolve().parents[2] / "docs"
DOCUMENTS = (_DOCS / "reliability.md", _DOCS / "reliability.zh.md")
BEGIN, END = "<!-- assault:begin -->", "<!-- assault:end -->"


def update_document(table: str, *, minutes: float, document: Path) -> None:
    """Replace what stands between the markers; ValueError when they are not there."""
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document} has no {BEGIN} ... {END}")
    made = f"`make assault`, {os.cpu_count()} cores, {minutes:.0f} minutes.\n\n{table}"
    document.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")
