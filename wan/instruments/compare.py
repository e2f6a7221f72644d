"""Runs a comparison: for every case the baseline and every other method on the same noise, measured and written."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from wan.analysis.comparison import CaseResult, judge, worst_case
from wan.analysis.comparison_files import CONTACT_SHEET, PER_FRAME, SIDE_BY_SIDE
from wan.analysis.comparison_plots import plot_contact_sheet, plot_per_frame
from wan.analysis.divergence import Divergence, StepStore
from wan.analysis.measures import Cost, Observation
from wan.analysis.pictures import GAIN, amplified_difference, side_by_side
from wan.errors import InvalidInput
from wan.instruments.flags import Case
from wan.instruments.methods import Method
from wan.instruments.unfinished import JOURNAL_NAME, Unfinished
from wan.job import rerun
from wan.models.network_cache import CacheNetwork
from wan.run_sections import initial_record, run_metadata
from wan.runs import LATENTS_NAME, VIDEO_NAME, RunRecord
from wan.runs.latents import save_latents
from wan.runs.video import write_frames
from wan.sampling.observers import Observer
from wan.session import Sampled, Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """One method of one case: the decoded video (N, H, W, 3) in [0, 1], its cost, and the drift of its latents."""

    video: np.ndarray
    cost: Cost
    divergence: tuple[float, ...] = ()


@dataclass(kw_only=True, slots=True)
class Comparer:
    """One comparison in one folder; ``results`` grows case by case, by the name of the method."""

    session: Session
    methods: Sequence[Method]
    cases: Sequence[Case]
    work: Unfinished
    say: Callable[[str], None]
    results: dict[str, list[CaseResult]] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        return self.work.directory

    def run(self) -> dict[str, list[CaseResult]]:
        """Every case that is not done yet; pictures of the worst case of each method. Memory: a few decoded videos,
        whatever the number."""
        done = self.work.done
        try:
            for entry in done:
                for name, data in entry["results"].items():
                    self.results.setdefault(name, []).append(CaseResult.from_dict(data))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                f"{self.directory / JOURNAL_NAME} is damaged ({error!r}); remove it, and the comparison begins anew"
            ) from error
        if done:
            self.say(f"{len(done)} of {len(self.cases)} cases are done already in {self.directory}")
        with tempfile.TemporaryDirectory(prefix=".steps-", dir=self.directory) as folder:
            for number, case in enumerate(self.cases[len(done) :], start=len(done) + 1):
                self.say(f"case {number} of {len(self.cases)}: {case.prompt!r}, seed {case.seed}")
                self._run_case(case, number, StepStore(Path(folder)))
                latest = {name: results[-1].as_dict() for name, results in self.results.items()}
                self.work.journal.append({"case": number, "results": latest})
        return self.results

    def _run_case(self, case: Case, number: int, store: StepStore) -> None:
        reference, *others = self.methods
        baseline = self._make(reference, case, number, store)
        for method in others:
            made = self._make(method, case, number, store)
            observation = observe(method, made.video, baseline.video, cost=made.cost, baseline_cost=baseline.cost)
            result = judge(observation, prompt=case.prompt, seed=case.seed, divergence=made.divergence)
            self.results.setdefault(method.name, []).append(result)
            values = result.measures
            self.say(
                f"  {method.name}: PSNR {values['psnr']:.2f} dB, SSIM {values['ssim']:.4f}, "
                f"speed-up {values['speed_up']:.2f}x"
            )
            if not method.is_control:
                self._write_pictures(method, number, made.video, baseline.video)

    def _make(self, method: Method, case: Case, number: int, store: StepStore) -> Made:
        """Sample, decode and write one method; the baseline's steps are stored for the others to be compared with."""
        divergence = Divergence(store)
        is_baseline = method is self.methods[0]
        same_steps = len(method.plan.steps) == len(self.methods[0].plan.steps)
        observers: list[Observer] = [store] if is_baseline else [divergence] if same_steps else []
        video, cost, sampled = make(self.session, method, case, observers=observers)
        self._write_run(method, sampled, video, cost, self.folder(method, number))
        return Made(video=video, cost=cost, divergence=tuple(divergence.values))

    def folder(self, method: Method, number: int) -> Path:
        """Where the files of one method of one case go: its folder, or its ``case_01``, ... with several cases."""
        folder = self.directory / method.name
        return folder if len(self.cases) == 1 else folder / f"case_{number:02d}"

    def _write_run(self, method: Method, sampled: Sampled, video: np.ndarray, cost: Cost, folder: Path) -> None:
        """A run folder like generate's own, so that every command that reads runs reads these."""
        folder.mkdir(parents=True, exist_ok=True)
        job = replace(method.job, request=replace(rerun(method.job), prompt=sampled.prompt))
        device = str(self.session.device)
        record = RunRecord(folder, initial_record(job, self.session.checkpoint, seed=sampled.seed, device=device))
        with record:
            metadata = run_metadata(record)
            save_latents(folder / LATENTS_NAME, sampled.latents, metadata=metadata)
            frames = np.rint(video * 255.0).astype(np.uint8)
            write_frames(folder / VIDEO_NAME, frames, fps=job.config.sample_fps, metadata=metadata)
            record.update(
                outputs={"video": str(folder / VIDEO_NAME), "latents": str(folder / LATENTS_NAME)},
                forwards=record.sections["forwards"]
                | {
                    "executed": sampled.forwards,
                    "executed_token_forwards": sampled.token_forwards,
                    "executed_flops": sampled.flops,
                },
                timing={
                    "inference": cost.inference_seconds,
                    "expert_switch": cost.switch_seconds,
                    "decode": cost.decode_seconds,
                    "steps": sampled.step_seconds,
                },
            )

    def _write_pictures(self, method: Method, number: int, video: np.ndarray, baseline: np.ndarray) -> None:
        """Side by side for every case; contact sheet and quality per frame for the worst one so far."""
        results, fps = self.results[method.name], method.job.config.sample_fps
        folder = self.directory / method.name
        write_side_by_side(self.folder(method, number), results[-1], video, baseline, name=method.name, fps=fps)
        if worst_case(results) == len(results) - 1:
            kind = "" if len(self.cases) == 1 else "worst case: "
            title = f"{kind}{results[-1].prompt!r}, seed {results[-1].seed}: {method.name} against the baseline"
            stride = method.half_frame_stride
            write_sheets(folder, results[-1], video, baseline, name=method.name, title=title, stride=stride)


def make(
    session: Session,
    method: Method,
    case: Case,
    *,
    observers: Sequence[Observer] = (),
    cache: CacheNetwork | None = None,
) -> tuple[np.ndarray, Cost, Sampled]:
    """One method of one case: the decoded video (N, H, W, 3) in [0, 1], what it cost, and the run itself.

    ``cache`` stands in for the plan's (``wan.models.network_cache``).
    """
    seed = case.seed + method.seed_shift
    sampled = session.sample(method.plan, prompt=case.prompt, seed=seed, observers=observers, cache=cache)
    start = perf_counter()
    video = session.decode(sampled.latents)
    return video, cost_of(sampled, decode_seconds=perf_counter() - start), sampled


def cost_of(sampled: Sampled, *, decode_seconds: float) -> Cost:
    """What a run used."""
    return Cost(
        forwards=sampled.forwards,
        token_forwards=sampled.token_forwards,
        flops=sampled.flops,
        inference_seconds=sampled.inference_seconds,
        switch_seconds=sum(sampled.switch_seconds),
        decode_seconds=decode_seconds,
    )


def observe(method: Method, video: np.ndarray, baseline: np.ndarray, *, cost: Cost, baseline_cost: Cost) -> Observation:
    """What there is to measure of one method on one case."""
    return Observation(
        method=video,
        baseline=baseline,
        cost=cost,
        baseline_cost=baseline_cost,
        half_frame_stride=method.half_frame_stride,
    )


def write_side_by_side(
    folder: Path, result: CaseResult, video: np.ndarray, baseline: np.ndarray, *, name: str, fps: int
) -> None:
    """Baseline, method and amplified difference as one video."""
    panels = {"baseline": baseline, name: video, f"difference x {GAIN:g}": amplified_difference(video, baseline)}
    metadata = {"prompt": result.prompt, "seed": str(result.seed)}
    write_frames(folder / SIDE_BY_SIDE, side_by_side(panels), fps=fps, metadata=metadata)


def write_sheets(
    folder: Path,
    result: CaseResult,
    video: np.ndarray,
    baseline: np.ndarray,
    *,
    name: str,
    title: str,
    stride: int | None,
) -> None:
    """Contact sheet and quality of every frame."""
    plot_contact_sheet(folder / CONTACT_SHEET, video, baseline, name=name, psnrs=result.psnrs, title=title)
    plot_per_frame(folder / PER_FRAME, result, title=title, half_frame_stride=stride)
