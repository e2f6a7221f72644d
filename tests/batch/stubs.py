"""Requests without a video: a clock that a test lets run, entries, and a maker that only says what it was given."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wan.batch.claims import Claim
from wan.batch.segments import Entry
from wan.batch.worker import Outcome


@dataclass
class FakeClock:
    """Seconds that pass only when somebody sleeps; ``at`` has what happens at which time."""

    seconds: float = 0.0
    at: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        end = self.seconds + seconds
        for moment, happen in sorted(self.at, key=lambda one: one[0]):
            if moment <= end:
                self.at.remove((moment, happen))
                self.seconds = max(self.seconds, moment)
                happen()
        self.seconds = end


def entries(count: int, **changes: Any) -> list[Entry]:
    """Requests that differ in their key."""
    return [
        Entry(key=f"key{n}", folder=f"{n:05d}", argv=(), source=f"line {n}", prompt=f"prompt {n}", **changes)
        for n in range(count)
    ]


@dataclass
class StubMaker:
    """Appends the key of every request to ``log``, and fails for those in ``poisonous``."""

    log: Path
    poisonous: Sequence[str] = ()
    during: Callable[[Claim], None] = lambda claim: None

    def make(self, claims: Sequence[Claim], *, check: Callable[[Claim], None]) -> list[Outcome]:
        return [self._one(claim) for claim in claims]

    def _one(self, claim: Claim) -> Outcome:
        file = os.open(self.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o666)
        os.write(file, f"{claim.entry.key}\n".encode())
        os.close(file)
        try:
            self.during(claim)
        except Exception as error:  # noqa: BLE001 - as the maker of videos does
            return error
        if claim.entry.key in self.poisonous:
            return ValueError(f"{claim.entry.key} is poison")
        return f"{claim.entry.folder}/video.mp4"


class Unwatched:
    """Nobody looks on."""

    def changed(self, *, last: bool = False) -> None:
        pass
