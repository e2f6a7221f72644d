"""Makes the videos of claimed requests, with one loaded session for all that can share it."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from wan.batch.claims import Claim
from wan.batch.planned import request_from
from wan.batch.shared_run import make_together
from wan.batch.worker import CLAIM_LEFT, Outcome
from wan.errors import InvalidInput
from wan.extending import extended_job
from wan.folder_run import Say
from wan.generation import generate, resume
from wan.job import Job, prepare
from wan.machine import Machine
from wan.resuming import earlier_run
from wan.runs import RECORD_NAME
from wan.runs.record import Paused
from wan.sampling.observers import Observer, StepEvent
from wan.session import Session

Check = Callable[[Claim], None]


@dataclass(frozen=True, slots=True)
class KeepsClaims(Observer):
    """Tells claims of every step, and ends the sampling when one of them must be left.

    ``is_watched``: somebody looks at the claim's file, so every step goes into it, and a cancelled request stops at its
    next step instead of at the next beat.
    """

    claims: Sequence[Claim]
    check: Check
    is_watched: bool = False

    def on_step_end(self, event: StepEvent) -> None:
        for claim in self.claims:
            self.check(claim)
            if self.is_watched:
                claim.keep(steps=event.step.index + 1)
            else:
                claim.at_step(event.step.index + 1)


@dataclass(kw_only=True, slots=True)
class VideoMaker:
    """Makes requests into run folders below ``folder``. ``machine`` says where this worker runs; ``is_watched``: see
    ``KeepsClaims``.

    ``say`` takes a line for each request; what a single run would say of itself is in its ``run.json``. Requests of one
    checkpoint and one set of machine settings share a session; another one replaces it. ``holds_expert``: with
    ``--offload expert``, too, an expert stays in memory from one request to the next, until the other one is needed.
    """

    folder: Path
    machine: Machine
    say: Say
    accept_changes: bool = False
    holds_expert: bool = False
    is_watched: bool = False
    _session: tuple[str, Session] | None = field(default=None, init=False)

    def make(self, claims: Sequence[Claim], *, check: Check) -> list[Outcome]:
        """As ``wan.batch.worker.Maker``: several claims share their forwards; where that fails, each is made alone."""
        if len(claims) > 1:
            try:
                return self._together(claims, check)
            except CLAIM_LEFT as error:
                self.say(f"{error}; the others of its forwards go on alone")
            except Exception as error:  # noqa: BLE001 - one of them is at fault, and alone the others are made
                self.say(f"the shared forwards failed ({error}); each request is made alone")
        return [self.make_alone(claim, check) for claim in claims]

    def make_alone(self, claim: Claim, check: Check, *, beside: Sequence[Observer] = ()) -> Outcome:
        """What came of one request. ``beside``: observers besides the one that keeps the claim; ``Paused`` is an
        outcome where one of them stops the run."""
        try:
            check(claim)
            with _own_threads():
                made = self._made(claim, check, beside)
            self.say(f"{claim.entry.source}: {made}")
            return made
        except Exception as error:  # noqa: BLE001 - a poisonous request never stops the others
            if not isinstance(error, (*CLAIM_LEFT, Paused)):
                self.say(f"{claim.entry.source}: failed: {error}")
            return error

    def _made(self, claim: Claim, check: Check, beside: Sequence[Observer]) -> str:
        run = self.folder / claim.entry.folder
        watching = [KeepsClaims([claim], check, self.is_watched), *beside]
        if (run / RECORD_NAME).is_file():
            earlier = earlier_run(run, accept_changes=self.accept_changes)
            loaded = self._session_for(claim, earlier.job)
            path = resume(earlier, say=_unsaid, show_progress=False, loaded=loaded, observers=watching)
        else:
            job = self._job(claim)
            # first, so that the language model is gone when the models that make the video are loaded
            job = extended_job(job, seed=job.request.seed, say=_unsaid)
            path = generate(
                job,
                say=_unsaid,
                show_progress=False,
                directory=run,
                loaded=self._session_for(claim, job),
                observers=watching,
            )
        return path.relative_to(self.folder).as_posix()

    def _together(self, claims: Sequence[Claim], check: Check) -> list[Outcome]:
        jobs = [self._job(claim) for claim in claims]
        made = make_together(
            jobs,
            [self.folder / claim.entry.folder for claim in claims],
            loaded=self._session_for(claims[0], jobs[0]),
            say=_unsaid,
            show_progress=False,
            observers=[KeepsClaims(claims, check, self.is_watched)],
        )
        self.say(f"{', '.join(claim.entry.source for claim in claims)}: made in the same forwards")
        return [one if isinstance(one, Exception) else one.relative_to(self.folder).as_posix() for one in made]

    def _job(self, claim: Claim) -> Job:
        job = prepare(request_from(claim.entry, folder=self.folder, machine=self.machine))
        run = self.folder / claim.entry.folder
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{run} cannot be made a run folder ({error.strerror or error})") from error
        return job

    def _session_for(self, claim: Claim, job: Job) -> Session:
        wanted = claim.entry.session
        if self._session is None or self._session[0] != wanted:
            self._session = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._session = wanted, Session(job, show_progress=False)
            if self.holds_expert:
                self._session[1].pipeline.hold_last_expert()
        return self._session[1]


def _unsaid(line: str) -> None:
    """A line that stands in the run's record, too."""


@contextmanager
def _own_threads() -> Iterator[None]:
    """A resumed run takes the number of threads that it began with, and leaves the next one this worker's own."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
