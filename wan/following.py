"""What a rank other than 0 does in a run: it samples what rank 0 samples, and prints, writes and decodes nothing."""

from collections.abc import Sequence

from wan.analysis.debug import scales_of
from wan.analysis.probe import GuidanceProbe
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.parallel.team import Team
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.snapshot import Snapshot
from wan.session import Session


class Answers(Observer):
    """Gives rank 0 this rank's part of the caches after every step, for the resume file."""

    def on_step_end(self, event: StepEvent) -> None:
        event.denoiser.state()


def follow(job: Job, checkpoint: Checkpoint, team: Team) -> None:
    """One run, as rank 0 leads it (``wan.folder_run``): every exchange there has its counterpart here, in its order."""
    seed: int = team.from_leader(int)
    session = Session(job, checkpoint=checkpoint, show_progress=False, team=team)
    if not team.from_leader(bool):  # the latents are there already
        return
    session.contexts(job.prompt)
    session.conditioning(job.geometry)
    start: Snapshot | None = team.from_leader(_nothing)
    session.sample(job.plan, prompt=job.prompt, seed=seed, observers=_observers(job), start=start)


def _nothing() -> Snapshot | None:
    return None


def _observers(job: Job) -> Sequence[Observer]:
    """Those that evaluate the network or exchange something, in rank 0's order."""
    observers: list[Observer] = []
    if job.request.enable_debug:
        observers.append(GuidanceProbe(scales_of(job.settings)))
    if not job.request.no_resume_file:
        observers.append(Answers())
    return observers
