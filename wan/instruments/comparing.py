"""Runs a comparison: for every case the baseline and every other side on the same noise, measured and written."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from wan.analysis.comparison import CaseResult, Cost, judge, worst_case
from wan.analysis.comparison_plots import plot_contact_sheet, plot_per_frame
from wan.analysis.divergence import Divergence, StepStore
from wan.analysis.pictures import GAIN, amplified_difference, side_by_side
from wan.instruments.flags import Case
from wan.instruments.methods import Side
from wan.instruments.reproduce import generate_argv
from wan.loading.layouts import Checkpoint
from wan.runs import LATENTS_NAME, VIDEO_NAME, RunRecord
from wan.runs.latents import save_latents
from wan.runs.video import write_frames
from wan.sampling.observers import Observer
from wan.sampling.price import price
from wan.sampling.table import plan_record
from wan.session import Sampled, Session
from wan.workflow import initial_record

SIDE_BY_SIDE, CONTACT_SHEET, PER_FRAME = "side_by_side.mp4", "contact_sheet.png", "per_frame.png"


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """One side of one case: the decoded video (N, H, W, 3) in [0, 1], what it cost, and the drift of its latents."""

    video: np.ndarray
    cost: Cost
    divergence: tuple[float, ...] = ()


@dataclass(kw_only=True, slots=True)
class Comparer:
    """One comparison in one folder; ``results`` grows case by case, by the name of the side."""

    session: Session
    checkpoint: Checkpoint
    sides: Sequence[Side]
    cases: Sequence[Case]
    directory: Path
    report: Callable[[str], None]
    results: dict[str, list[CaseResult]] = field(default_factory=dict)

    def run(self) -> dict[str, list[CaseResult]]:
        """Every case; pictures of the worst case of each method. Memory: a few decoded videos, whatever the number."""
        with tempfile.TemporaryDirectory(prefix=".steps-", dir=self.directory) as folder:
            for number, case in enumerate(self.cases, start=1):
                self.report(f"case {number} of {len(self.cases)}: {case.prompt!r}, seed {case.seed}")
                self._run_case(case, number, StepStore(Path(folder)))
        return self.results

    def _run_case(self, case: Case, number: int, store: StepStore) -> None:
        reference, *others = self.sides
        baseline = self._make(reference, case, number, store)
        for side in others:
            method = self._make(side, case, number, store)
            result = judge(
                method.video,
                baseline.video,
                prompt=case.prompt,
                seed=case.seed,
                half_frame_stride=self._stride(side),
                divergence=method.divergence,
                cost=method.cost,
                baseline_cost=baseline.cost,
            )
            self.results.setdefault(side.name, []).append(result)
            self.report(
                f"  {side.name}: PSNR {result.measures.psnr:.2f} dB, SSIM {result.measures.ssim:.4f}, "
                f"speed-up {result.speed_up:.2f}x"
            )
            if not side.is_control:
                self._write_pictures(side, number, method.video, baseline.video)

    def _make(self, side: Side, case: Case, number: int, store: StepStore) -> Made:
        """Sample, decode and write one side; the baseline's steps are stored for the others to be compared with."""
        divergence = Divergence(store)
        is_baseline = side is self.sides[0]
        same_steps = len(side.plan.steps) == len(self.sides[0].plan.steps)
        observers: list[Observer] = [store] if is_baseline else [divergence] if same_steps else []
        sampled = self.session.sample(
            side.plan, prompt=case.prompt, seed=case.seed + side.seed_shift, observers=observers
        )
        start = perf_counter()
        video = self.session.decode(sampled.latents)
        cost = self._cost(sampled, decode_seconds=perf_counter() - start)
        self._write_run(side, sampled, video, cost, self.folder(side, number))
        return Made(video=video, cost=cost, divergence=tuple(divergence.values))

    def folder(self, side: Side, number: int) -> Path:
        """Where the files of one side of one case go: the side's folder, or its ``case_01``, ... with several cases."""
        folder = self.directory / side.name
        return folder if len(self.cases) == 1 else folder / f"case_{number:02d}"

    def _write_run(self, side: Side, sampled: Sampled, video: np.ndarray, cost: Cost, folder: Path) -> None:
        """A run folder like generate.py's own, so that every tool that reads runs reads these."""
        folder.mkdir(parents=True, exist_ok=True)
        options = replace(self.session.options, prompt=sampled.prompt, settings=side.settings)
        record = RunRecord(
            folder,
            initial_record(
                options,
                side.plan,
                self.checkpoint,
                seed=sampled.seed,
                argv=generate_argv(options),
                device=str(self.session.pipeline.device),
            )
            | {"plan": plan_record(side.plan) | {"price": price(side.plan, self.checkpoint.denoiser_size).as_dict()}},
        )
        with record:
            keys = ("task", "prompt", "negative_prompt", "seed", "command")
            metadata = {name: str(record.sections[name]) for name in keys}
            save_latents(folder / LATENTS_NAME, sampled.latents, metadata=metadata)
            frames = np.rint(video * 255.0).astype(np.uint8)
            write_frames(folder / VIDEO_NAME, frames, fps=options.config.sample_fps, metadata=metadata)
            record.update(
                outputs={"video": str(folder / VIDEO_NAME), "latents": str(folder / LATENTS_NAME)},
                forwards={"planned": side.plan.forwards, "executed": sampled.forwards},
                timing=_timing(sampled, cost),
            )

    def _write_pictures(self, side: Side, number: int, method: np.ndarray, baseline: np.ndarray) -> None:
        """Side by side for every case; contact sheet and quality per frame for the worst one so far."""
        result = self.results[side.name][-1]
        panels = {"baseline": baseline, side.name: method}
        panels[f"difference x {GAIN:g}"] = amplified_difference(method, baseline)
        fps = self.session.options.config.sample_fps
        metadata = {"prompt": result.prompt, "seed": str(result.seed)}
        write_frames(self.folder(side, number) / SIDE_BY_SIDE, side_by_side(panels), fps=fps, metadata=metadata)
        if worst_case(self.results[side.name]) != len(self.results[side.name]) - 1:
            return
        kind = "" if len(self.cases) == 1 else "worst case: "
        title = f"{kind}{result.prompt!r}, seed {result.seed}: {side.name} against the baseline"
        folder, psnrs = self.directory / side.name, result.measures.psnr_per_frame
        plot_contact_sheet(folder / CONTACT_SHEET, method, baseline, name=side.name, psnrs=psnrs, title=title)
        plot_per_frame(folder / PER_FRAME, result, title=title, half_frame_stride=self._stride(side))

    def _stride(self, side: Side) -> int | None:
        return side.plan.geometry.vae_stride[0] if side.is_half_frame else None

    def _cost(self, sampled: Sampled, *, decode_seconds: float) -> Cost:
        return Cost(
            forwards=sampled.forwards,
            token_forwards=sampled.token_forwards,
            flops=price(sampled.plan, self.checkpoint.denoiser_size).planned.flops,
            inference_seconds=sampled.inference_seconds,
            switch_seconds=sum(sampled.switch_seconds),
            decode_seconds=decode_seconds,
        )


def _timing(sampled: Sampled, cost: Cost) -> dict[str, Any]:
    return {
        "inference": cost.inference_seconds,
        "expert_switch": cost.switch_seconds,
        "decode": cost.decode_seconds,
        "steps": sampled.step_seconds,
    }
