"""One claim of one worker: kept alive while it works, ended once, and lost when another worker has taken over."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from wan.batch.claim_files import ENDED, FAILED, RELEASED, ClaimRecord, rewrite_claim
from wan.batch.clock import Clock
from wan.batch.results import END_SUFFIX, Result, write_result
from wan.batch.segments import Entry
from wan.errors import WanError
from wan.runs.record import FINISHED

BEATS_IN_LEASE = 4
"""A claim is rewritten so often within its lease: three times it may fail before others think it dead."""


class ClaimLost(WanError):
    """Another worker has taken the request over, because this one was silent for too long: it must write no more."""


class Cancelled(WanError):
    """Somebody has cancelled the request: its worker ends it in order."""


@dataclass(kw_only=True, slots=True)
class Claim:
    """A request that is this worker's. ``number`` counts the claims of the request from 1."""

    id: str
    entry: Entry
    number: int
    base: Path
    record: ClaimRecord
    clock: Clock
    lease: float
    began: float = field(init=False)
    beaten: float = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.began = self.beaten = self.clock.now()

    @property
    def path(self) -> Path:
        """Its file."""
        return claim_path(self.base, self.number)

    @property
    def is_taken_over(self) -> bool:
        return claim_path(self.base, self.number + 1).exists()

    def keep(self, *, steps: int | None = None) -> None:
        """Say that the worker lives, and how many steps are done; ``ClaimLost`` or ``Cancelled`` when it must stop.

        A disk that cannot be written for a while ends nothing: the lease goes on running.
        """
        with self._turn:
            self._refuse_lost()
            if end_path(self.base).exists():
                raise Cancelled(f"request {self.id} was ended from outside")
            changes = {} if steps is None else {"steps": steps}
            self.record = self.record.next_beat(**changes)
            try:
                rewrite_claim(self.path, self.record)
            except OSError:
                if self.clock.now() - self.beaten > self.lease:
                    raise
                return
            self.beaten = self.clock.now()

    def at_step(self, steps: int) -> None:
        """After a step: nothing is written unless a beat is due, which it is when this process was held up."""
        with self._turn:
            self.record = self.record.next_beat(steps=steps)
        if self.clock.now() - self.beaten > self.lease / BEATS_IN_LEASE:
            self.keep(steps=steps)

    def finish(self, *, file: str) -> None:
        """The request is made; ``ClaimLost`` when another worker has it by now."""
        self._refuse_lost()
        seconds = round(self.clock.now() - self.began, 3)
        made = Result(
            state=FINISHED, file=file, worker=self.record.worker, seconds=seconds, attempts=self.record.attempts
        )
        write_result(end_path(self.base), made)  # where it has ended before, that stays
        self._leave(ENDED, "")

    def fail(self, sentence: str) -> None:
        """It went wrong; whoever claims it next tries again, or records it as failed."""
        self._leave(FAILED, sentence)

    def release(self) -> None:
        """Give it back unharmed: it was stopped in order, and goes on where it is."""
        self._leave(RELEASED, "")

    def drop(self) -> None:
        """It has ended from outside."""
        self._leave(ENDED, "")

    def _refuse_lost(self) -> None:
        if self.is_taken_over:
            raise ClaimLost(f"request {self.id} was taken over by another worker: this one was silent for too long")

    def _leave(self, state: str, error: str) -> None:
        with self._turn:
            self.record = self.record.next_beat(state=state, error=error)
            rewrite_claim(self.path, self.record)


class Heartbeat:
    """Keeps claims alive from a thread of its own, also while a model loads; use it in ``with``.

    What ``Claim.keep`` raised is raised by ``check``, which the worker calls between its steps.
    """

    def __init__(self, claims: Iterable[Claim], *, seconds: float) -> None:
        self._claims = list(claims)
        self._seconds = seconds
        self._stop = threading.Event()
        self._raised: dict[str, Exception] = {}
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def check(self, claim: Claim) -> None:
        """Raises what went wrong with that claim meanwhile."""
        if claim.id in self._raised:
            raise self._raised[claim.id]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            for claim in self._claims:
                if claim.id not in self._raised:
                    self._keep(claim)

    def _keep(self, claim: Claim) -> None:
        try:
            claim.keep()
        except (WanError, OSError) as error:
            self._raised[claim.id] = error


def claim_path(base: Path, number: int) -> Path:
    """The file of a request's claim: ``base`` is its place in the folder of its segment, without a suffix."""
    return base.with_name(f"{base.name}.c{number}")


def end_path(base: Path) -> Path:
    """The file that says how a request ended."""
    return base.with_name(base.name + END_SUFFIX)
