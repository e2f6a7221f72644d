"""What watches a run in its folder: its newest latents, its resume file, and the time of its phases."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import ClassVar

from torch import Tensor

from wan.runs.beside import WriterBeside
from wan.runs.host_copies import HostCopies
from wan.runs.state_file import Packed
from wan.sampling.carried import Carries
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.snapshot import Snapshot, take


@dataclass(slots=True)
class LastLatents(Observer):
    """Keeps the newest latents, so that an interrupted run can put them on disk."""

    event: StepEvent | None = None

    def on_step_end(self, event: StepEvent) -> None:
        self.event = event


class ResumeFile(Observer):
    """Puts everything that the run carries on disk after every step: one file, replaced in place.

    A step waits only until what has changed of the state is copied; a thread writes it while the next step runs.
    ``watched``: what counts and measures beside the run, by name. It stands last among the observers; ``close`` it.
    """

    def __init__(self, path: Path, *, run: str, watched: Mapping[str, Carries], warn: Callable[[str], None]) -> None:
        self.path = path
        self._run = run
        self._watched = watched
        self._copies = HostCopies()
        self._writer = WriterBeside("resume-file", said=self._cannot_be_written, warn=warn)

    def on_step_end(self, event: StepEvent) -> None:
        self.keep(take(event, self._watched))

    def keep(self, snapshot: Snapshot) -> None:
        """Put that state on disk, when the one before is there."""
        self.wait()  # the copies are written from until then
        packed = Packed.of({name: getattr(snapshot, name) for name in Snapshot.__slots__}, copies=self._copies)
        self._writer.write(partial(packed.write, self.path, run=self._run))

    def wait(self) -> None:
        """Until the last state is on disk, or could not be written: the video is worth more than the way back."""
        self._writer.wait()

    def close(self) -> None:
        """Wait, and end the thread."""
        self._writer.close()

    def _cannot_be_written(self, error: OSError) -> str:
        return (
            f"the resume file {self.path} cannot be written ({error.strerror or error}); the run goes on, and "
            "if it is stopped, it resumes from the last step that could be kept"
        )


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
