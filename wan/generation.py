"""One request through a session into a run folder: latents on disk first, then the video, everything recorded."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor

from wan.analysis.debug import ANALYSIS_FOLDER, REPORT_NAME, DebugRun, open_debug
from wan.job import Job, cut_texts, open_job_checkpoint
from wan.limits import resolve_seed
from wan.loading.layouts import Checkpoint
from wan.models.devices import pick_device
from wan.pipeline import Pipeline
from wan.pipeline_checks import refuse_engine
from wan.request_checks import refuse_bad_folders
from wan.runs import (
    IMAGE_NAME,
    LATENTS_NAME,
    VIDEO_NAME,
    RunRecord,
    checkpoint_identity,
    create_run_directory,
    environment_versions,
)
from wan.runs.latents import save_latents
from wan.runs.video import write_image, write_video
from wan.sampling.guard import CollapseGuard
from wan.sampling.observers import Observer, StepEvent, StepTimer
from wan.sampling.plan import Plan
from wan.sampling.price import forwards_by, price
from wan.sampling.table import format_plan, format_price, plan_record
from wan.session import Session

PARTIAL_LATENTS_NAME = "partial_latents.safetensors"
Say = Callable[[str], None]
"""Where the lines for the user go."""


def generate(job: Job, *, say: Say, show_progress: bool = True) -> Path:
    """Make what a job asks for, in a run folder of its own; returns the file that was made."""
    refuse_bad_folders(job.request)
    checkpoint = open_job_checkpoint(job)
    device = pick_device(job.request.machine.device)
    refuse_engine(job.request.machine, job.config, device)
    tag = price(job.plan, checkpoint.denoiser_size)
    for line in (*job.notices, *cut_texts(job, checkpoint), format_plan(job.plan), format_price(tag)):
        say(line)
    debug = _open_debug(job, say)
    seed = resolve_seed(job.request.seed)
    directory = create_run_directory(
        job.request.output_dir, task=job.config.name, prompt=job.prompt, now=datetime.now()
    )
    say(f"run folder: {directory}  (seed {seed})")
    with RunRecord(directory, initial_record(job, checkpoint, seed=seed, device=str(device))) as record:
        run = _Run(job=job, checkpoint=checkpoint, seed=seed, directory=directory, record=record, say=say, debug=debug)
        return run.execute(show_progress=show_progress)


@dataclass(slots=True)
class LastLatents(Observer):
    """Keeps the newest latents, so that an interrupted run can put them on disk."""

    event: StepEvent | None = None

    def on_step_end(self, event: StepEvent) -> None:
        self.event = event


@dataclass(slots=True)
class Stopwatch:
    """Wall-clock seconds of a run by phase: load, encode, decode, save."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to a phase."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


@dataclass(kw_only=True, slots=True)
class _Run:
    """The steps of one run, in the order in which they must not be lost: latents first, then the video."""

    job: Job
    checkpoint: Checkpoint
    seed: int
    directory: Path
    record: RunRecord
    say: Say
    debug: DebugRun | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def execute(self, *, show_progress: bool) -> Path:
        with self.stopwatch.measure("model_load"):
            session = Session(self.job, checkpoint=self.checkpoint, show_progress=show_progress)
        pipeline = session.pipeline
        self._warn_unknown_words(pipeline)
        timer = StepTimer(device=session.device)
        latents = self._sample(session, timer)
        latents_path = self.directory / LATENTS_NAME
        with self.stopwatch.measure("save"):
            save_latents(latents_path, latents, metadata=self._metadata())
        self.record.update(forwards=self._forwards(pipeline), timing=self._timing(timer))
        self._finish_debug()
        with self.stopwatch.measure("decode"):
            video = pipeline.decode(latents)
        with self.stopwatch.measure("save"):
            path = self._save(video)
        timing = self._timing(timer)
        outputs = {"video": str(path), "latents": str(latents_path)}
        if self.debug:
            outputs["debug_outputs"] = str(self.debug.directory)
        self.record.update(outputs=outputs, timing=timing)
        self._say_timing(timing)
        self.say(f"saved {path}")
        return path

    def _sample(self, session: Session, timer: StepTimer) -> Tensor:
        job = self.job
        with self.stopwatch.measure("text_encoding"):
            session.contexts(job.prompt)
        with self.stopwatch.measure("image_encoding"):
            session.conditioning(job.geometry)
        last = LastLatents()
        observers = [last, CollapseGuard(job.plan, self._notice), *(self.debug.observers if self.debug else ())]
        try:
            return session.sample(job.plan, prompt=job.prompt, seed=self.seed, observers=observers, timer=timer).latents
        except BaseException:
            self._keep_partial(last.event, session.pipeline)
            raise

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
        save_latents(path, event.latents_out[0], metadata=metadata)
        self.record.update(outputs={"partial_latents": str(path), "steps_done": step.index + 1})
        self.say(f"kept the latents after step {step.index + 1} of {len(self.job.plan.steps)}: {path}")

    def _save(self, video: Tensor) -> Path:
        config, asked = self.job.config, self.job.request.save_file
        if config.is_image_task:
            path = asked or self.directory / IMAGE_NAME
            write_image(path, video, metadata=self._metadata())
        else:
            path = asked or self.directory / VIDEO_NAME
            write_video(path, video, fps=config.sample_fps, metadata=self._metadata())
        return path

    def _metadata(self) -> dict[str, str]:
        return run_metadata(self.record)

    def _forwards(self, pipeline: Pipeline) -> dict[str, Any]:
        plan, counter = self.job.plan, pipeline.forward_counter
        shadow = self.debug.probe.shadow if self.debug else Counter[str]()
        executed = counter.counts - shadow
        return (
            _planned_forwards(plan)
            | {
                "executed": executed.total(),
                "planned_by": forwards_by(plan),
                "executed_by": dict(executed),
                "executed_token_forwards": counter.token_forwards,
                "executed_flops": counter.flops,
            }
            | ({"evaluated_beside": dict(shadow)} if shadow else {})
        )

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
        self._notice(notice)

    def _notice(self, sentence: str) -> None:
        """Say it now, and keep it in ``run.json``."""
        self.say(sentence)
        self.record.update(adjustments=[*self.record.sections["adjustments"], sentence])


def _open_debug(job: Job, say: Say) -> DebugRun | None:
    if not job.request.enable_debug:
        return None
    return open_debug(
        job.debug_output_dir,
        plan=job.plan,
        settings=job.settings,
        dtype=job.request.debug_dtype or "float32",
        overwrite=job.request.overwrite,
        say=say,
    )


def initial_record(job: Job, checkpoint: Checkpoint, *, seed: int, device: str) -> dict[str, Any]:
    """What ``run.json`` says from the start."""
    plan = job.plan
    return {
        "task": job.config.name,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "seed": seed,
        "command": job.request.command(seed=seed),
        "settings": job.record() | {"device": device},
        "adjustments": [*job.notices, *cut_texts(job, checkpoint)],
        "forwards": _planned_forwards(plan) | {"executed": 0},
        "versions": environment_versions(device),
        "checkpoint": checkpoint_identity(checkpoint.path),
        "plan": plan_record(plan) | {"price": price(plan, checkpoint.denoiser_size).as_dict()},
    }


def _planned_forwards(plan: Plan) -> dict[str, Any]:
    """With a cache that decides while sampling, the plan has the most forwards that there can be."""
    is_bound = plan.cache is not None and not plan.cache.is_planned
    return {"planned": plan.forwards} | ({"planned_is_upper_bound": True} if is_bound else {})


def run_metadata(record: RunRecord) -> dict[str, str]:
    """What the files of a run carry with them."""
    found = {name: str(record.sections[name]) for name in ("task", "prompt", "negative_prompt", "seed", "command")}
    image = record.sections["settings"].get("image_sha256")
    return found | ({"image_sha256": image} if image else {})
