"""A journal: JSON objects, one a line, each written when it is known, so that nothing is computed twice."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """``entries`` are those of earlier runs; a line that was cut when its process was killed is none.

    Floats come back as they were, to the last bit.
    """

    def __init__(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        self._path = path
        self._before = "" if not text or text.endswith("\n") else "\n"  # a cut line must not spoil the next one
        self.entries: list[dict[str, Any]] = list(_whole_lines(text))

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line, on disk when this returns; OSError when it cannot be written."""
        line = json.dumps(entry, allow_nan=False)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{self._before}{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self._before = ""
        self.entries.append(entry)


def _whole_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
