"""Continuity of a whole run: every debug step measured in three spaces, compared with theory and with another run."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wan.analysis.continuity import (
    SPACES,
    PairMeasures,
    cosine_similarity,
    format_phases,
    independent_noise_mse,
    measure_pairs,
    normalized_l2,
    phase_means,
    phase_ranges,
    steps_until_meeting,
)
from wan.runs.debug_latents import DebugStep

MEASURES = ("mse", "normalized_l2", "cosine")
# Two curves meet where they differ by less than this, relative to the reference.
MEETING_TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class StepContinuity:
    """One step. ``spaces`` has the pair measures of x_t, x0 and eps; ``mean`` and ``std`` are those of x_t and x0 over
    all values; ``x0_change`` and ``x0_cosine`` compare the x0 estimate with the previous step's, on the frames that
    both have (None at the first step)."""

    step: int
    timestep: int
    sigma: float
    expert: str
    latent_frames: int
    spaces: dict[str, PairMeasures]
    mean: dict[str, float]
    std: dict[str, float]
    x0_change: float | None
    x0_cosine: float | None

    def curve_value(self, space: str, measure: str, *, statistic: str = "mean") -> float:
        pairs = getattr(self.spaces[space], measure)
        return float(np.mean(pairs)) if statistic == "mean" else float(np.std(pairs))

    def as_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "timestep": self.timestep,
            "sigma": self.sigma,
            "expert": self.expert,
            "latent_frames": self.latent_frames,
            "spaces": {space: pairs.as_dict() for space, pairs in self.spaces.items()},
            "mean": self.mean,
            "std": self.std,
            "x0_change_from_previous_step": self.x0_change,
            "x0_cosine_with_previous_step": self.x0_cosine,
        }


@dataclass(frozen=True, slots=True)
class ContinuityRun:
    """All steps of one run, in order."""

    steps: tuple[StepContinuity, ...]

    @property
    def experts(self) -> list[str]:
        return [step.expert for step in self.steps]

    @property
    def final_x0_mse(self) -> float:
        """Adjacent-frame MSE of the last step's x0: what remains when the noise is gone."""
        return self.steps[-1].curve_value("x0", "mse")

    def curve(self, space: str, measure: str, *, statistic: str = "mean") -> list[float]:
        """One value per step: the mean or the standard deviation over the pairs of frames."""
        return [step.curve_value(space, measure, statistic=statistic) for step in self.steps]

    def theory(self) -> list[float]:
        """What x_t would show if noise were independent per frame and x0 the final one in every step."""
        return [independent_noise_mse(step.sigma, self.final_x0_mse) for step in self.steps]

    @property
    def switch(self) -> int | None:
        """Index of the first step of the second expert; None with one expert."""
        return next((i for i, e in enumerate(self.experts) if i and e != self.experts[i - 1]), None)

    @property
    def completion(self) -> int | None:
        """Index of the first step after frame completion; None when the frame count never grows."""
        counts = [step.latent_frames for step in self.steps]
        return next((i for i, count in enumerate(counts) if i and count > counts[i - 1]), None)

    def as_dict(self) -> dict[str, Any]:
        """``continuity_statistics.json``: steps, phases, theory and the expert switch."""
        return {
            "steps": [step.as_dict() for step in self.steps],
            "phases": {
                space: {measure: phase_means(self.curve(space, measure)) for measure in MEASURES} for space in SPACES
            },
            "phase_steps": {name: [r.start, r.stop - 1] for name, r in phase_ranges(len(self.steps)).items() if r},
            "independent_noise_mse": self.theory(),
            "final_x0_mse": self.final_x0_mse,
            "expert_switch": switch_statistics(self),
        }


@dataclass(slots=True)
class Measurer:
    """Measures debug steps as they come; the x0 estimate of the last one is all that is kept in memory."""

    measured: list[StepContinuity] = field(default_factory=list)
    _previous: np.ndarray | None = None

    def add(self, step: DebugStep) -> None:
        arrays = {"x_t": step.x_t.numpy(), "x0": step.x0_pred.numpy(), "eps": step.eps_pred.numpy()}
        self.measured.append(_measure_step(step, arrays, self._previous))
        self._previous = arrays["x0"]

    def finish(self) -> ContinuityRun:
        return ContinuityRun(tuple(self.measured))


def measure_run(steps: Iterable[DebugStep]) -> ContinuityRun:
    """Measure debug steps one at a time."""
    measurer = Measurer()
    for step in steps:
        measurer.add(step)
    return measurer.finish()


def switch_statistics(run: ContinuityRun) -> dict[str, Any] | None:
    """The latents on both sides of the expert switch; None with one expert.

    ``x0_change``: how far the estimate jumps at the switch, and on average at the other steps of a distance of up to 3.
    """
    if run.switch is None:
        return None
    before, after = run.steps[run.switch - 1], run.steps[run.switch]
    near = [
        step.x0_change
        for index, step in enumerate(run.steps)
        if index != run.switch and abs(index - run.switch) <= 3 and step.x0_change is not None
    ]
    return {
        "first_step_of_second_expert": after.step,
        "sigma_before": before.sigma,
        "sigma_after": after.sigma,
        "mean": {space: [before.mean[space], after.mean[space]] for space in ("x_t", "x0")},
        "std": {space: [before.std[space], after.std[space]] for space in ("x_t", "x0")},
        "adjacent_mse": {s: [before.curve_value(s, "mse"), after.curve_value(s, "mse")] for s in SPACES},
        "x0_change_at_switch": after.x0_change,
        "x0_change_near_switch": float(np.mean(near)) if near else None,
    }


def compare_runs(run: ContinuityRun, reference: ContinuityRun, space: str) -> dict[str, Any]:
    """How many steps after ``run``'s frame completion (or the start) its MSE curve meets the reference's for good."""
    start = run.completion or 0
    result: dict[str, Any] = {"from_step": start + 1, "tolerance": MEETING_TOLERANCE}
    if len(run.steps) != len(reference.steps):
        return result | {"comparable": False}
    curves = run.curve(space, "mse"), reference.curve(space, "mse")
    meeting = steps_until_meeting(*curves, start=start, tolerance=MEETING_TOLERANCE)
    return result | {
        "comparable": True,
        "steps_until_meeting": meeting,
        "ratio_at_start": _ratio(curves[0][start], curves[1][start]),
        "ratio_at_end": _ratio(curves[0][-1], curves[1][-1]),
    }


def _measure_step(step: DebugStep, arrays: dict[str, np.ndarray], previous: np.ndarray | None) -> StepContinuity:
    x0 = arrays["x0"]
    change = cosine = None
    if previous is not None:
        before, after = _common_frames(previous, x0)
        change, cosine = normalized_l2(before, after), cosine_similarity(before, after)
    return StepContinuity(
        step=step.step,
        timestep=step.timestep,
        sigma=step.sigma,
        expert=step.expert,
        latent_frames=x0.shape[1],
        spaces={space: measure_pairs(latents) for space, latents in arrays.items()},
        mean={space: float(latents.mean(dtype=np.float64)) for space, latents in arrays.items()},
        std={space: float(latents.std(dtype=np.float64)) for space, latents in arrays.items()},
        x0_change=change,
        x0_cosine=cosine,
    )


def _common_frames(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames (C, F, h, w) that both have: those that half-frame generation keeps, where one has more."""
    if before.shape[1] == after.shape[1]:
        return before, after
    return (before[:, ::2], after) if before.shape[1] > after.shape[1] else (before, after[:, ::2])


def _ratio(value: float, reference: float) -> float | None:
    return value / reference if reference else None


def format_statistics(run: ContinuityRun, space: str) -> str:
    """The seeds' table of one space, and the adjacent-frame MSE in the same form."""
    headings = {"mse": "Adjacent-frame MSE", "normalized_l2": "Normalized L2 Distance", "cosine": "Cosine Similarity"}
    return format_phases(space, {heading: run.curve(space, measure) for measure, heading in headings.items()})


def format_steps(run: ContinuityRun, space: str) -> str:
    """Per step: sigma, expert, measured MSE in the space, and for x_t what independent noise alone would give."""
    header = f"{'step':>4}  {'sigma':>8}  {'expert':<10}  {'frames':>6}  {'MSE':>8}  {'std':>8}"
    lines = [header + (f"  {'theory':>8}" if space == "x_t" else "")]
    rows: Sequence[tuple[StepContinuity, float]] = list(zip(run.steps, run.theory(), strict=True))
    for step, theory in rows:
        if run.switch is not None and step is run.steps[run.switch]:
            lines.append("      ---- expert switch ----")
        mean = step.curve_value(space, "mse")
        std = step.curve_value(space, "mse", statistic="std")
        line = (
            f"{step.step:>4}  {step.sigma:>8.6f}  {step.expert:<10}  {step.latent_frames:>6}  {mean:>8.4f}  {std:>8.4f}"
        )
        lines.append(line + (f"  {theory:>8.4f}" if space == "x_t" and math.isfinite(theory) else ""))
    return "\n".join(lines)
