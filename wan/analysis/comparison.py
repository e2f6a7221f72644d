"""A method against its baseline over prompts and seeds: one result per case, and mean, spread and worst over all."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from wan.analysis.frames import kept_pixel_frames
from wan.analysis.metrics import Comparison, compare, psnr, ssim_per_frame

# What the seeds call a small loss of quality, and a structure that is fully kept.
PSNR_THRESHOLD = 35.0
SSIM_THRESHOLDS = (0.95, 0.98)
# A video with less than 1 / this, or more than this, of the baseline's motion froze or flickers, whatever its PSNR.
MOTION_FACTOR = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameGroup:
    """PSNR (dB) and SSIM over some of the frames."""

    psnr: float
    ssim: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run used; ``flops`` is the plan's estimate."""

    forwards: int
    token_forwards: int
    flops: float
    inference_seconds: float
    switch_seconds: float
    decode_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One method on one prompt and seed. ``kept`` and ``filled`` only for half-frame generation; ``divergence`` is the
    relative RMS difference of the latents after every step, empty when the step counts differ."""

    prompt: str
    seed: int
    measures: Comparison
    kept: FrameGroup | None
    filled: FrameGroup | None
    divergence: tuple[float, ...]
    cost: Cost
    baseline_cost: Cost

    @property
    def speed_up(self) -> float:
        """Pure inference time of the baseline over that of the method."""
        return self.baseline_cost.inference_seconds / max(self.cost.inference_seconds, 1e-9)

    @property
    def flops_fraction(self) -> float:
        return self.cost.flops / self.baseline_cost.flops

    def as_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        values = asdict(self) | {"measures": self.measures.as_dict()}
        values["speed_up"], values["flops_fraction"] = self.speed_up, self.flops_fraction
        return finite(values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """One measure over all cases; ``worst`` is the least or the largest value, whichever is bad."""

    mean: float
    median: float
    std: float
    worst: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A threshold of the seeds and whether the mean over the cases meets it."""

    rule: str
    measured: str
    met: bool


def judge(
    method: np.ndarray,
    baseline: np.ndarray,
    *,
    prompt: str,
    seed: int,
    half_frame_stride: int | None,
    divergence: Sequence[float],
    cost: Cost,
    baseline_cost: Cost,
) -> CaseResult:
    """Measure videos (N, H, W, 3) in [0, 1]; ``half_frame_stride``: the VAE's frame stride, for half-frame only."""
    kept = None if half_frame_stride is None else kept_pixel_frames(len(method), stride=half_frame_stride)
    return CaseResult(
        prompt=prompt,
        seed=seed,
        measures=compare(method, baseline),
        kept=None if kept is None else _group(method, baseline, kept),
        filled=None if kept is None else _group(method, baseline, ~kept),
        divergence=tuple(divergence),
        cost=cost,
        baseline_cost=baseline_cost,
    )


def summarise(results: Sequence[CaseResult]) -> dict[str, Spread]:
    """Mean, standard deviation and worst case of every scalar measure.

    The mean motion ratio is that of the summed motions: a prompt that stands still has no ratio worth averaging.
    """
    measures = [result.measures for result in results]
    rows: dict[str, tuple[list[float], bool]] = {  # values, whether small ones are bad
        "psnr": ([m.psnr for m in measures], True),
        "ssim": ([m.ssim for m in measures], True),
        "mse": ([m.mse for m in measures], False),
        "absolute_error_mean": ([m.absolute_error.mean for m in measures], False),
        "absolute_error_max": ([m.absolute_error.max for m in measures], False),
        "absolute_error_std": ([m.absolute_error.std for m in measures], False),
        "relative_error_mean": ([m.relative_error.mean for m in measures], False),
        "relative_error_max": ([m.relative_error.max for m in measures], False),
        "temporal_difference_error": ([m.temporal_difference_error for m in measures], False),
        "motion_ratio": ([m.motion_ratio for m in measures], True),
        "speed_up": ([result.speed_up for result in results], True),
        "flops_fraction": ([result.flops_fraction for result in results], False),
    }
    for name, groups in (("kept", [r.kept for r in results]), ("filled", [r.filled for r in results])):
        found = [group for group in groups if group is not None]
        if found:
            rows[f"{name}_psnr"] = ([group.psnr for group in found], True)
            rows[f"{name}_ssim"] = ([group.ssim for group in found], True)
    summary = {name: _spread(values, small_is_bad=small) for name, (values, small) in rows.items()}
    summary["motion_ratio"] = replace(summary["motion_ratio"], mean=_total_motion_ratio(measures))
    return summary


def verdicts(summary: dict[str, Spread]) -> tuple[Verdict, ...]:
    """The seeds' thresholds on the means, and whether the method froze or shakes the picture."""
    rows = [("PSNR > 35 dB", f"{summary['psnr'].mean:.2f} dB", summary["psnr"].mean > PSNR_THRESHOLD)]
    rows += [(f"SSIM > {t}", f"{summary['ssim'].mean:.4f}", summary["ssim"].mean > t) for t in SSIM_THRESHOLDS]
    ratio = summary["motion_ratio"].mean
    is_alike = 1 / MOTION_FACTOR <= ratio <= MOTION_FACTOR
    rows.append((f"motion within a factor of {MOTION_FACTOR:g} of the baseline's", f"{ratio:.3f}", is_alike))
    return tuple(Verdict(rule=rule, measured=measured, met=met) for rule, measured, met in rows)


def worst_case(results: Sequence[CaseResult]) -> int:
    """Position of the case with the lowest PSNR."""
    return min(range(len(results)), key=lambda position: results[position].measures.psnr)


def finite(value: Any) -> Any:
    """``value`` for strict JSON: infinite numbers as 'inf', tuples as lists, at any depth."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _group(method: np.ndarray, baseline: np.ndarray, mask: np.ndarray) -> FrameGroup:
    chosen, reference = method[mask], baseline[mask]
    return FrameGroup(psnr=psnr(chosen, reference), ssim=float(np.mean(ssim_per_frame(chosen, reference))))


def _total_motion_ratio(measures: Sequence[Comparison]) -> float:
    motion, reference = sum(m.motion for m in measures), sum(m.baseline_motion for m in measures)
    return motion / reference if reference else 1.0


def _spread(values: Sequence[float], *, small_is_bad: bool) -> Spread:
    mean = float(np.mean(values))
    # the spread of equal videos (infinite PSNR) is none
    std = float(np.std(values)) if math.isfinite(mean) else 0.0
    worst = min(values) if small_is_bad else max(values)
    return Spread(mean=mean, median=float(np.median(values)), std=std, worst=worst)
