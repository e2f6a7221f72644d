"""The time that workers wait by, and that a test can let run."""

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds of one machine; two machines never compare theirs."""

    def now(self) -> float:
        """Seconds since some moment; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Let that time pass."""


class SystemClock:
    """The machine's own clock, which no change of date moves."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
