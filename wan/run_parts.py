"""What watches a run in its folder: its newest latents, its resume file, and the time of its phases."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import ClassVar

from torch import Tensor

from wan.runs.state_file import save_state
from wan.sampling.carried import Carries
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.snapshot import Snapshot, take


@dataclass(slots=True)
class LastLatents(Observer):
    """Keeps the newest latents, so that an interrupted run can put them on disk."""

    event: StepEvent | None = None

    def on_step_end(self, event: StepEvent) -> None:
        self.event = event


@dataclass(kw_only=True, slots=True)
class ResumeFile(Observer):
    """Puts everything that the run carries on disk after every step: one file, replaced in place.

    ``watched``: what counts and measures beside the run, by name. It stands last among the observers.
    """

    path: Path
    run: str
    watched: Mapping[str, Carries]
    warn: Callable[[str], None]
    _has_failed: bool = False

    def on_step_end(self, event: StepEvent) -> None:
        snapshot = take(event, self.watched)
        try:
            save_state(self.path, {name: getattr(snapshot, name) for name in Snapshot.__slots__}, run=self.run)
        except OSError as error:  # the video is worth more than the way back
            if not self._has_failed:
                self.warn(
                    f"the resume file {self.path} cannot be written ({error.strerror or error}); the run goes on, and "
                    "if it is stopped, it resumes from the last step that could be kept"
                )
            self._has_failed = True


@dataclass(slots=True)
class Stopwatch(Carries):
    """Wall-clock seconds of a run by phase: load, encode, decode, save."""

    carries: ClassVar[tuple[str, ...]] = ("seconds",)

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to a phase."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds to a phase."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def during(self, name: str, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """Add the seconds that each of the parts takes to come to a phase."""
        coming = iter(parts)
        while True:
            with self.measure(name):
                part = next(coming, None)
            if part is None:
                return
            yield part
