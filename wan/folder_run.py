"""One run in its folder, from loading to the saved file, in the order in which nothing is lost."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from wan.analysis.debug import ANALYSIS_FOLDER, REPORT_NAME, DebugRun
from wan.commands import program
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.parallel.team import ALONE, Team
from wan.pipeline import Pipeline
from wan.preview import Preview
from wan.preview_colours import preview_colours
from wan.run_parts import LastLatents, ResumeFile, Stopwatch
from wan.run_sections import executed_forwards, run_metadata
from wan.runs import IMAGE_NAME, LATENTS_NAME, VIDEO_NAME, RunRecord
from wan.runs.folders import PREVIEW_NAME
from wan.runs.latents import PARTIAL_LATENTS_NAME, load_latents, save_latents
from wan.runs.state_file import STATE_NAME, load_state
from wan.runs.video import save_pieces
from wan.sampling.carried import Carries
from wan.sampling.guard import CollapseGuard
from wan.sampling.observers import Observer, StepEvent, StepTimer
from wan.sampling.snapshot import Snapshot
from wan.session import Session

Say = Callable[[str], None]
"""Where the lines for the user go."""


@dataclass(kw_only=True, slots=True)
class FolderRun:
    """The steps of one run, in the order in which they must not be lost: latents first, then the video.

    It leads its ``team``, whose other ranks do their part in ``wan.following``. ``loaded``: a session whose models are
    loaded already. ``observers`` see every step after the others.
    """

    job: Job
    checkpoint: Checkpoint
    seed: int
    directory: Path
    record: RunRecord
    say: Say
    debug: DebugRun | None = None
    team: Team = ALONE
    loaded: Session | None = None
    observers: Sequence[Observer] = ()
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def execute(self, *, show_progress: bool) -> Path:
        """Make what is not there yet; the file that was made."""
        session = self.open_session(show_progress=show_progress)
        timer = StepTimer(device=session.device)
        is_made = self.latents_path.is_file() and not self.state_path.is_file()
        self.team.from_leader(lambda: not is_made)
        latents = self._found(timer) if is_made else self._made(session, timer)
        return self.finish(session.pipeline, latents, timer)

    def open_session(self, *, show_progress: bool) -> Session:
        """The loaded session, or one of this run's own."""
        with self.stopwatch.measure("model_load"):
            self.team.from_leader(lambda: self.seed)
            if self.loaded:
                session = self.loaded.serving(self.job)
            else:
                session = Session(self.job, checkpoint=self.checkpoint, show_progress=show_progress, team=self.team)
        self._warn_unknown_words(session.pipeline)
        return session

    def finish(self, pipeline: Pipeline, latents: Tensor, timer: StepTimer) -> Path:
        """Decode, save and record; the file that was made."""
        path = self._save(pipeline.decode_frames(latents))
        timing = self._timing(timer)
        outputs = {"video": str(path), "latents": str(self.latents_path)}
        if self.debug:
            outputs["debug_outputs"] = str(self.debug.directory)
        self.record.update(outputs=outputs, timing=timing)
        self.preview_path.unlink(missing_ok=True)  # the video is there
        self._say_timing(timing)
        self.say(f"saved {path}")
        return path

    @property
    def latents_path(self) -> Path:
        return self.directory / LATENTS_NAME

    @property
    def state_path(self) -> Path:
        return self.directory / STATE_NAME

    @property
    def preview_path(self) -> Path:
        return self.directory / PREVIEW_NAME

    def _found(self, timer: StepTimer) -> Tensor:
        """The latents of a run that was stopped after its last step, and what their sampling took."""
        # a disk that was full when the latents were on it has not taken the times
        earlier = dict(self.record.sections.get("timing") or {"steps": [], "expert_switch": 0.0})
        timer.step_seconds[:] = earlier["steps"]
        timer.switch_seconds[:] = [0.0, earlier["expert_switch"]]
        for name in ("model_load", "text_encoding", "image_encoding", "save"):
            self.stopwatch.add(name, earlier.get(name, 0.0))
        self.say(f"the latents are there already: {self.latents_path}")
        return load_latents(self.latents_path)

    def _made(self, session: Session, timer: StepTimer) -> Tensor:
        """The latents, sampled, and on disk with their analysis; what was kept on the way is of no use any more."""
        latents = self._sample(session, timer)
        self.keep_latents(session.pipeline, latents, timer)
        return latents

    def keep_latents(self, pipeline: Pipeline, latents: Tensor, timer: StepTimer) -> None:
        """Put the latents of the end on disk, with their analysis; the resume file is of no use any more."""
        with self.stopwatch.measure("save"):
            save_latents(self.latents_path, latents, metadata=self._metadata())
        self.record.update(forwards=self._forwards(pipeline), timing=self._timing(timer))
        self._finish_debug()
        for left in (self.state_path, self.directory / PARTIAL_LATENTS_NAME):
            left.unlink(missing_ok=True)

    def _sample(self, session: Session, timer: StepTimer) -> Tensor:
        job = self.job
        with self.stopwatch.measure("text_encoding"):
            session.contexts(job.prompt)
        with self.stopwatch.measure("image_encoding"):
            session.conditioning(job.geometry)
        last, guard = LastLatents(), CollapseGuard(job.plan, self.notice)
        observers: list[Observer] = [last, guard, *(self.debug.observers if self.debug else ())]
        watched: dict[str, Carries] = {
            "timer": timer,
            "stopwatch": self.stopwatch,
            "forwards": session.pipeline.forward_counter,
            "guard": guard,
        } | ({"probe": self.debug.probe} if self.debug else {})
        start = self.team.from_leader(lambda: self._snapshot(session.device))
        if start is not None:
            start.restore_watched(watched)
            self.say(f"going on after step {start.steps_done} of {len(job.plan.steps)}")
        with ExitStack() as stack:
            if job.request.preview:
                observers.append(self._preview(stack))
            if not job.request.no_resume_file:
                resume_file = ResumeFile(self.state_path, run=self.name, watched=watched, warn=self.notice)
                stack.callback(resume_file.close)
                observers.append(resume_file)
            observers += self.observers
            try:
                return session.sample(
                    job.plan, prompt=job.prompt, seed=self.seed, observers=observers, timer=timer, start=start
                ).latents
            except BaseException:
                self._keep_partial(last.event, session.pipeline)
                raise

    def _preview(self, stack: ExitStack) -> Preview:
        config, every = self.job.config, self.job.request.preview_every
        preview = Preview(
            self.preview_path,
            plan=self.job.plan,
            colours=preview_colours(config),
            fps=config.sample_fps,
            every=every,
            warn=self.notice,
        )
        stack.callback(preview.close)
        self.say(f"preview: {self.preview_path}, replaced after every {'step' if every == 1 else f'{every} steps'}")
        return preview

    def _snapshot(self, device: torch.device) -> Snapshot | None:
        """Where the run was stopped; None before its first step."""
        if not self.state_path.is_file():
            return None
        return Snapshot(**load_state(self.state_path, run=self.name, device=device))

    @property
    def name(self) -> str:
        """What tells this run's state from another's."""
        identity: str = self.record.sections["checkpoint"]["id"]
        return f"{self.directory.name} {self.seed} {identity}"

    def _finish_debug(self) -> None:
        if self.debug is None:
            return
        with self.stopwatch.measure("debug"):
            run = self._metadata() | {"run_directory": str(self.directory)}
            analysis = self.debug.finish(run=run)
        for finding in analysis.findings:
            self.say(f"{finding.verdict}: {finding.claim} ({finding.measured})")
        self.say(f"error analysis: {self.debug.directory / ANALYSIS_FOLDER / REPORT_NAME}")

    def _keep_partial(self, event: StepEvent | None, pipeline: Pipeline) -> None:
        self.record.update(forwards=self._forwards(pipeline))
        if event is None:
            return
        path = self.directory / PARTIAL_LATENTS_NAME
        step = event.step
        metadata = self._metadata() | {"step": str(step.index + 1), "sigma": repr(step.sigma_next)}
        denoised = event.state.solver.denoised()[0].float()
        save_latents(path, event.latents_out[0], denoised=denoised, metadata=metadata)
        self.record.update(outputs={"partial_latents": str(path), "steps_done": step.index + 1})
        self.say(f"kept the latents after step {step.index + 1} of {len(self.job.plan.steps)}: {path}")

    def _save(self, pieces: Iterable[Tensor]) -> Path:
        """Decode into the file, piece by piece."""
        config, asked = self.job.config, self.job.request.save_file
        path = asked or self.directory / (IMAGE_NAME if config.is_image_task else VIDEO_NAME)
        start, decoded = perf_counter(), self.stopwatch.during("decode", pieces)
        try:
            save_pieces(
                path,
                decoded,
                is_image=config.is_image_task,
                fps=config.sample_fps,
                metadata=self._metadata(),
                overwrite=asked is None or self.job.request.overwrite,
            )
        except FileExistsError:
            raise FileExistsError(
                f"another process has made {path} meanwhile, which is kept; the latents are in {self.directory}, and "
                f"`{program('decode')}` makes the video of them"
            ) from None
        self.stopwatch.add("save", perf_counter() - start - self.stopwatch.seconds["decode"])
        return path

    def _metadata(self) -> dict[str, str]:
        return run_metadata(self.record)

    def _forwards(self, pipeline: Pipeline) -> dict[str, Any]:
        beside = self.debug.probe.shadow if self.debug else Counter[str]()
        return executed_forwards(self.job.plan, pipeline.forward_counter, beside=beside)

    def _timing(self, timer: StepTimer) -> dict[str, Any]:
        """Seconds. The first expert's load counts as model load, every later one as expert switch."""
        first, *switches = timer.switch_seconds or [0.0]
        inference = sum(timer.step_seconds)
        seconds = self.stopwatch.seconds
        return seconds | {
            "model_load": seconds["model_load"] + first,
            "inference": inference,
            "expert_switch": sum(switches),
            "steps": timer.step_seconds,
            "seconds_per_step": inference / max(1, len(timer.step_seconds)),
            "frames_per_second": self.job.geometry.pixel_frames / inference if inference else 0.0,
        }

    def _say_timing(self, timing: dict[str, Any]) -> None:
        self.say(
            f"model load {timing['model_load']:.2f} s, text encoding {timing['text_encoding']:.2f} s, "
            f"pure inference {timing['inference']:.2f} s, expert switch {timing['expert_switch']:.2f} s, "
            f"decode {timing['decode']:.2f} s, save {timing['save']:.2f} s"
        )
        self.say(
            f"{timing['seconds_per_step']:.3f} s per step, {timing['frames_per_second']:.2f} frames per second "
            "of pure inference"
        )

    def _warn_unknown_words(self, pipeline: Pipeline) -> None:
        unknown = pipeline.unknown_words(self.job.prompt)
        if not unknown or not self.job.config.bundled_checkpoint:
            return
        notice = f"the demo model does not know {', '.join(unknown)} and ignores them; it knows: "
        notice += ", ".join(pipeline.vocabulary())
        self.notice(notice)

    def notice(self, sentence: str) -> None:
        """Say it now, and keep it in ``run.json``."""
        self.say(sentence)
        self.record.update(adjustments=[*self.record.sections["adjustments"], sentence])
