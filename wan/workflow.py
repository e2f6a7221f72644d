"""One run of the command: plan, pipeline, latents on disk, video on disk, everything recorded as it happens."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import Tensor

import wan
from wan.analysis.debug import ANALYSIS_FOLDER, REPORT_NAME, DebugRun, open_debug
from wan.image_input import open_image
from wan.loading.layouts import Checkpoint, find_checkpoint_dir, open_checkpoint
from wan.loading.progress import silence_loading_bars
from wan.models.denoiser import batched, one_by_one
from wan.models.devices import pick_device
from wan.options import Options
from wan.pipeline import Conditioning, Pipeline, resolve_seed
from wan.runs import (
    IMAGE_NAME,
    LATENTS_NAME,
    VIDEO_NAME,
    RunRecord,
    checkpoint_identity,
    create_run_directory,
    environment_versions,
    reproduce_command,
)
from wan.runs.latents import save_latents
from wan.runs.stopwatch import Stopwatch
from wan.runs.video import write_image, write_video
from wan.sampling.observers import NaNGuard, Observer, ProgressBar, StepEvent, StepTimer, TimerResume
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import forwards_by, price
from wan.sampling.table import format_plan, format_price, plan_record

PARTIAL_LATENTS_NAME = "partial_latents.safetensors"
Report = Callable[[str], None]


def run(options: Options, *, argv: Sequence[str], report: Report) -> Path:
    """Make what ``options`` ask for; returns the file that was made. ``report`` gets the lines for the user."""
    silence_loading_bars()
    plan = make_plan(options.settings, options.geometry)
    checkpoint = open_checkpoint(options.config, find_checkpoint_dir(options.config, options.ckpt_dir))
    device = pick_device(options.device)
    tag = price(plan, checkpoint.denoiser_size)
    for line in (*options.notices, *plan.notices, format_plan(plan), format_price(tag)):
        report(line)
    debug = _open_debug(options, plan, report)
    seed = resolve_seed(options.seed)
    directory = create_run_directory(
        options.output_dir, task=options.config.name, prompt=options.prompt, now=datetime.now()
    )
    report(f"run folder: {directory}  (seed {seed})")
    record = RunRecord(
        directory,
        initial_record(options, plan, checkpoint, seed=seed, argv=argv, device=str(device))
        | {"plan": plan_record(plan) | {"price": tag.as_dict()}},
    )
    with record:
        return _Run(
            options=options, plan=plan, seed=seed, directory=directory, record=record, report=report, debug=debug
        ).execute()


def open_pipeline(options: Options) -> Pipeline:
    """The entry class of the task, on the chosen device; experts load when they are first needed."""
    entry: type[Pipeline] = getattr(wan, options.config.entry)
    return entry(
        options.config,
        options.ckpt_dir,
        t5_cpu=options.t5_cpu,
        device=options.device,
        dtype=options.dtype,
        evaluate=batched if options.batch_cfg else one_by_one,
        offload=options.machine.offload,
        attention=options.machine.attention,
        vae_tiling=options.machine.vae_tiling,
        text_cache=options.machine.text_cache,
    )


def open_conditions(options: Options, pipeline: Pipeline) -> Conditioning:
    """What the options' image conditions, encoded; text alone without one."""
    image = None if options.image is None else open_image(options.image)
    return pipeline.condition(image, options.geometry)


@dataclass(slots=True)
class LastLatents(Observer):
    """Keeps the newest latents, so that an interrupted run can put them on disk."""

    event: StepEvent | None = None

    def on_step_end(self, event: StepEvent) -> None:
        self.event = event


@dataclass(kw_only=True, slots=True)
class _Run:
    """The steps of one run, in the order in which they must not be lost: latents first, then the video."""

    options: Options
    plan: Plan
    seed: int
    directory: Path
    record: RunRecord
    report: Report
    debug: DebugRun | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch)

    def execute(self) -> Path:
        options = self.options
        with self.stopwatch.measure("model_load"):
            pipeline = open_pipeline(options)
        self._warn_unknown_words(pipeline)
        timer = StepTimer(device=pipeline.device)
        latents = self._sample(pipeline, timer)
        latents_path = self.directory / LATENTS_NAME
        with self.stopwatch.measure("save"):
            save_latents(latents_path, latents, metadata=self._metadata())
        self._record_sampling(pipeline, timer)
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
        self._report_timing(timing)
        self.report(f"saved {path}")
        return path

    def _sample(self, pipeline: Pipeline, timer: StepTimer) -> Tensor:
        with self.stopwatch.measure("text_encoding"):
            contexts = pipeline.encode(self.options.prompt, self.options.negative_prompt)
        with self.stopwatch.measure("image_encoding"):
            conditions = open_conditions(self.options, pipeline)
        last = LastLatents()
        with ExitStack() as stack:
            observers: list[Observer] = [timer, NaNGuard(), last]
            if not self.options.quiet:
                observers.append(stack.enter_context(ProgressBar(self.plan)))
            if self.debug:
                observers += [*self.debug.observers, TimerResume(timer)]
            try:
                return pipeline.sample(
                    self.plan,
                    contexts,
                    seed=self.seed,
                    conditioning=conditions,
                    offload_model=self.options.offload_model,
                    observers=observers,
                )
            except BaseException:
                self._keep_partial(last.event, pipeline)
                raise

    def _finish_debug(self) -> None:
        if self.debug is None:
            return
        with self.stopwatch.measure("debug"):
            run = self._metadata() | {"run_directory": str(self.directory)}
            analysis = self.debug.finish(run=run)
        for finding in analysis.findings:
            self.report(f"{finding.verdict}: {finding.claim} ({finding.measured})")
        self.report(f"error analysis: {self.debug.directory / ANALYSIS_FOLDER / REPORT_NAME}")

    def _keep_partial(self, event: StepEvent | None, pipeline: Pipeline) -> None:
        self.record.update(forwards=self._forwards(pipeline))
        if event is None:
            return
        path = self.directory / PARTIAL_LATENTS_NAME
        step = event.step
        metadata = self._metadata() | {"step": str(step.index + 1), "sigma": repr(step.sigma_next)}
        save_latents(path, event.latents_out[0], metadata=metadata)
        self.record.update(outputs={"partial_latents": str(path), "steps_done": step.index + 1})
        self.report(f"kept the latents after step {step.index + 1} of {len(self.plan.steps)}: {path}")

    def _save(self, video: Tensor) -> Path:
        options = self.options
        if options.config.is_image_task:
            path = options.save_file or self.directory / IMAGE_NAME
            write_image(path, video, metadata=self._metadata())
        else:
            path = options.save_file or self.directory / VIDEO_NAME
            write_video(path, video, fps=options.config.sample_fps, metadata=self._metadata())
        return path

    def _metadata(self) -> dict[str, str]:
        sections = self.record.sections
        return {name: str(sections[name]) for name in ("task", "prompt", "negative_prompt", "seed", "command")}

    def _record_sampling(self, pipeline: Pipeline, timer: StepTimer) -> None:
        self.record.update(forwards=self._forwards(pipeline), timing=self._timing(timer))

    def _forwards(self, pipeline: Pipeline) -> dict[str, Any]:
        counter = pipeline.forward_counter
        shadow = self.debug.probe.shadow if self.debug else Counter[str]()
        executed = counter.counts - shadow
        return {
            "planned": self.plan.forwards,
            "executed": executed.total(),
            "planned_by": forwards_by(self.plan),
            "executed_by": dict(executed),
            "executed_token_forwards": counter.token_forwards,
        } | ({"evaluated_beside": dict(shadow)} if shadow else {})

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
            "frames_per_second": self.plan.geometry.pixel_frames / inference if inference else 0.0,
        }

    def _report_timing(self, timing: dict[str, Any]) -> None:
        self.report(
            f"model load {timing['model_load']:.2f} s, text encoding {timing['text_encoding']:.2f} s, "
            f"pure inference {timing['inference']:.2f} s, expert switch {timing['expert_switch']:.2f} s, "
            f"decode {timing['decode']:.2f} s, save {timing['save']:.2f} s"
        )
        self.report(
            f"{timing['seconds_per_step']:.3f} s per step, {timing['frames_per_second']:.2f} frames per second "
            "of pure inference"
        )

    def _warn_unknown_words(self, pipeline: Pipeline) -> None:
        unknown = pipeline.unknown_words(self.options.prompt)
        if not unknown or not self.options.config.bundled_checkpoint:
            return
        notice = f"the demo model does not know {', '.join(unknown)} and ignores them; it knows: "
        notice += ", ".join(pipeline.vocabulary())
        self.report(notice)
        self.record.update(adjustments=[*self.record.sections["adjustments"], notice])


def _open_debug(options: Options, plan: Plan, report: Report) -> DebugRun | None:
    if not options.enable_debug:
        return None
    return open_debug(
        options.debug_output_dir,
        plan=plan,
        settings=options.settings,
        dtype=options.debug_dtype,
        overwrite=options.overwrite,
        report=report,
    )


def initial_record(
    options: Options, plan: Plan, checkpoint: Checkpoint, *, seed: int, argv: Sequence[str], device: str
) -> dict[str, Any]:
    """What ``run.json`` says from the start; the plan and its price are added by the caller."""
    return {
        "task": options.config.name,
        "prompt": options.prompt,
        "negative_prompt": options.negative_prompt,
        "seed": seed,
        "command": reproduce_command(argv, seed=seed),
        "settings": {
            **asdict(options.settings),
            "image": str(options.image) if options.image else None,
            "size": [options.geometry.width, options.geometry.height],
            "frame_num": options.geometry.pixel_frames,
            "fps": options.config.sample_fps,
            "dtype": options.dtype or options.config.param_dtype,
            "device": device,
            "batch_cfg": options.batch_cfg,
        },
        "adjustments": [*options.notices, *plan.notices],
        "forwards": {"planned": plan.forwards, "executed": 0},
        "versions": environment_versions(device),
        "checkpoint": checkpoint_identity(checkpoint.path),
    }
