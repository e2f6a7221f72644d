"""Requests with equal plans and shapes through the same forwards; each keeps its own folder, record and resume file.

After every step each request's part of the state goes into its own resume file, in the form that a run alone writes. A
request whose worker was stopped goes on alone from there. Its latents then agree with those of the shared run as far as
rounding allows (1e-5 of the largest value in float32), not bit for bit: a forward of another batch size adds in another
order.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from wan.folder_run import FolderRun, Say
from wan.job import Job, open_job_checkpoint
from wan.limits import resolve_seed
from wan.pipeline_checks import refuse_engine
from wan.run_parts import ResumeFile
from wan.run_sections import initial_record
from wan.runs import RunRecord
from wan.runs.lock import working_in
from wan.runs.record import FAILED
from wan.sampling.carried import Carries, Tree
from wan.sampling.guard import CollapseGuard
from wan.sampling.guidance import Branch
from wan.sampling.observers import NaNGuard, Observer, ProgressBar, StepEvent, StepTimer, TimerResume
from wan.sampling.snapshot import take
from wan.session import Session

_VIDEO_AXES = 5


def make_together(
    jobs: Sequence[Job],
    directories: Sequence[Path],
    *,
    loaded: Session,
    say: Say,
    show_progress: bool,
    observers: Sequence[Observer] = (),
) -> list[Path | Exception]:
    """Make requests of one plan in shared forwards, in folders that no run has begun in; the files that were made.

    What goes wrong in sampling is raised, with every request's steps so far on disk; what goes wrong in decoding one
    video stands in its place.
    """
    checkpoint = open_job_checkpoint(jobs[0])
    refuse_engine(jobs[0].request.machine, jobs[0].config, loaded.device)
    with ExitStack() as stack:
        runs = []
        for job, directory in zip(jobs, directories, strict=True):
            seed = resolve_seed(job.request.seed)
            sections = initial_record(job, checkpoint, seed=seed, device=str(loaded.device))
            sections["resume"] |= {"threads": torch.get_num_threads(), "debug": None}
            sections["shared_forwards"] = {"size": len(jobs), "folders": [one.name for one in directories]}
            stack.enter_context(working_in(directory))
            record = stack.enter_context(RunRecord(directory, sections))
            runs.append(
                FolderRun(
                    job=job,
                    checkpoint=checkpoint,
                    seed=seed,
                    directory=directory,
                    record=record,
                    say=say,
                    loaded=loaded,
                )
            )
        return _made(runs, loaded, say=say, show_progress=show_progress, observers=observers)


def _made(
    runs: Sequence[FolderRun], loaded: Session, *, say: Say, show_progress: bool, observers: Sequence[Observer]
) -> list[Path | Exception]:
    timer = StepTimer(device=loaded.device)
    latents = _sample(runs, loaded, timer, show_progress=show_progress, observers=observers)
    say(f"{len(runs)} requests in the same forwards: {sum(timer.step_seconds):.2f} s of pure inference")
    pipeline, made = loaded.pipeline, list[Path | Exception]()
    for run, own in zip(runs, latents, strict=True):
        run.keep_latents(pipeline, own, timer)
    for run, own in zip(runs, latents, strict=True):
        try:
            made.append(run.finish(pipeline, own, timer))
        except Exception as error:  # noqa: BLE001 - the others have their videos; this one's latents are on disk
            run.record.update(status=FAILED, error=f"{type(error).__name__}: {error}")
            made.append(error)
    return made


def _sample(
    runs: Sequence[FolderRun],
    loaded: Session,
    timer: StepTimer,
    *,
    show_progress: bool,
    observers: Sequence[Observer],
) -> Tensor:
    """Latents (B, C, F, h, w): one request's after another's along the first axis."""
    plan, pipeline = runs[0].job.plan, loaded.pipeline
    with _shared_time(runs, "text_encoding"):
        loaded.embed(text for run in runs for text in (run.job.prompt, run.job.negative_prompt))
    sessions = [run.open_session(show_progress=False) for run in runs]
    contexts = [session.contexts(run.job.prompt) for session, run in zip(sessions, runs, strict=True)]
    with _shared_time(runs, "image_encoding"):
        conditioning = sessions[0].conditioning(plan.geometry)
    with ExitStack() as stack:
        watching: list[Observer] = [timer, NaNGuard()]
        if show_progress:
            watching.append(stack.enter_context(ProgressBar(plan)))
        watching.append(_Own(runs, loaded, timer, stack))
        latents = pipeline.sample_batch(
            plan,
            {branch: torch.cat([context[branch] for context in contexts]) for branch in Branch},
            noise=torch.stack([pipeline.noise(plan.geometry, run.seed) for run in runs]),
            conditioning=conditioning,
            observers=[*watching, *observers, TimerResume(timer)],
        )
    counter = pipeline.forward_counter
    counter.flops_by = _share(counter.flops_by, len(runs))
    return latents


@contextmanager
def _shared_time(runs: Sequence[FolderRun], phase: str) -> Iterator[None]:
    """Add to each run's phase its part of the seconds of the block."""
    start = perf_counter()
    yield
    for run in runs:
        run.stopwatch.add(phase, (perf_counter() - start) / len(runs))


class _Own(Observer):
    """Looks at each request's part of every step: its collapse guard, and its own resume file."""

    def __init__(self, runs: Sequence[FolderRun], loaded: Session, timer: StepTimer, stack: ExitStack) -> None:
        self._guards = [CollapseGuard(run.job.plan, run.notice) for run in runs]
        self._files = []
        if runs[0].job.request.no_resume_file:
            return
        for run, guard in zip(runs, self._guards, strict=True):
            watched: dict[str, Carries] = {
                "timer": timer,
                "stopwatch": run.stopwatch,
                "forwards": loaded.pipeline.forward_counter,
                "guard": guard,
            }
            file = ResumeFile(run.state_path, run=run.name, watched=watched, warn=run.notice)
            stack.callback(file.close)
            self._files.append((file, watched))

    def on_step_end(self, event: StepEvent) -> None:
        for place, guard in enumerate(self._guards):
            latents, velocity = _part(event.latents_in, place), _part(event.velocity, place)
            guard.on_step_end(replace(event, latents_in=latents, velocity=velocity))
        for place, (file, watched) in enumerate(self._files):
            whole = take(event, watched)
            forwards = whole.watched["forwards"]
            shared = forwards | {"flops_by": _share(forwards["flops_by"], len(self._files))}
            own = replace(
                whole,
                denoised=_part(whole.denoised, place),
                sampler=_part(whole.sampler, place),
                denoiser=_part(whole.denoiser, place),
                watched={**whole.watched, "forwards": shared},
            )
            file.keep(own)


def _part(tree: Tree, place: int) -> Tree:
    """One request's part of what a shared run carries: of every tensor over videos (B, C, F, h, w) its own row."""
    if isinstance(tree, Tensor):
        return tree[place : place + 1] if tree.ndim == _VIDEO_AXES else tree
    if isinstance(tree, Mapping):
        return {key: _part(value, place) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_part(value, place) for value in tree)
    return tree


def _share(flops_by: Mapping[str, float], count: int) -> dict[str, float]:
    """What one of ``count`` requests has of the FLOPs that all of them took."""
    return {part: flops / count for part, flops in flops_by.items()}
