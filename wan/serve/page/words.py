"""The words of the page in both languages, read from ``words.yaml``: a key, its English, its Chinese."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

LANGUAGES = ("en", "zh")
TABLE = Path(__file__).with_name("words.yaml")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; ``words("step_of", step=3, steps=20)``. A ``KeyError`` for a key that is not there."""

    language: str

    @property
    def place(self) -> int:
        """Where this language stands in a pair (English, Chinese)."""
        return LANGUAGES.index(self.language)

    def __call__(self, key: str, **values: Any) -> str:
        text = table()[key][self.place]
        return text.format(**values) if values else text

    def state(self, state: str) -> str:
        """A state of the queue, or of ``run.json``."""
        return self._named(f"state_{state}", state)

    def expert(self, expert: str) -> str:
        return self._named(f"expert_{expert}", expert)

    def seconds(self, seconds: float | None) -> str:
        """A duration: a tenth of a second below ten, else whole seconds, or minutes and hours."""
        if seconds is None:
            return "?"
        if seconds < 9.95:
            return self("seconds", seconds=f"{seconds:.1f}")
        whole = round(seconds)
        if whole < 100:
            return self("seconds", seconds=whole)
        minutes = round(seconds / 60)
        if minutes < 100:
            return self("minutes", minutes=minutes)
        return self("hours", hours=f"{seconds / 3600:.1f}")

    def _named(self, key: str, name: str) -> str:
        return self(key) if key in table() else name


@cache
def table() -> Mapping[str, tuple[str, str]]:
    """Every key with its English and its Chinese."""
    found = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {key: (english, chinese) for key, (english, chinese) in found.items()}
