"""Every measure of a method against its baseline, in one table: name, unit, formula, direction, aggregate.

Everything that reports goes through ``MEASURES``; a new one is a function in ``wan.analysis.metrics`` and a row here.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from wan.analysis import metrics
from wan.sampling.geometry import kept_pixel_frames

Values = Mapping[str, float]
"""The measures of one case by name; a measure that does not apply is left out."""
Aggregate = Callable[[Sequence[Values], str], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one run used; ``flops`` is the plan's estimate."""

    forwards: int
    token_forwards: int
    flops: float
    inference_seconds: float
    switch_seconds: float
    decode_seconds: float


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Two videos (N, H, W, 3) in [0, 1], before mp4 coding, and what each of them cost.

    ``half_frame_stride``: the VAE's frame stride where the method is half-frame generation, None elsewhere.
    """

    method: np.ndarray
    baseline: np.ndarray
    cost: Cost
    baseline_cost: Cost
    half_frame_stride: int | None

    @cached_property
    def absolute_error(self) -> metrics.AbsoluteError:
        return metrics.absolute_error(self.method, self.baseline)

    @cached_property
    def relative_error(self) -> metrics.RelativeError:
        return metrics.relative_error(self.method, self.baseline)

    @cached_property
    def psnrs(self) -> tuple[float, ...]:
        """PSNR of every frame."""
        return metrics.psnr_per_frame(self.method, self.baseline)

    @cached_property
    def ssims(self) -> tuple[float, ...]:
        """SSIM of every frame."""
        return metrics.ssim_per_frame(self.method, self.baseline)

    def frames(self, *, kept: bool) -> np.ndarray | None:
        """Mask (N,) of the frames behind kept or behind filled latent frames; None without half-frame generation."""
        if self.half_frame_stride is None:
            return None
        return np.array(kept_pixel_frames(len(self.method), stride=self.half_frame_stride)) == kept


Value = Callable[[Observation], float | None]


def mean(cases: Sequence[Values], name: str) -> float:
    """Arithmetic mean over the cases."""
    return float(np.mean([case[name] for case in cases]))


def ratio_of_sums(numerator: str, denominator: str) -> Aggregate:
    """Sum over sum: a case that has next to nothing of the denominator does not rule the mean."""

    def aggregate(cases: Sequence[Values], name: str) -> float:
        below = sum(case[denominator] for case in cases)
        return sum(case[numerator] for case in cases) / below if below else 1.0

    return aggregate


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One row. ``value`` of one case, None where the measure does not apply; ``aggregate`` over cases.

    ``small_is_bad`` tells which end the worst case is at; ``label`` is (English, Chinese); ``section`` is its heading
    in the text report, ``form`` its number format.
    """

    name: str
    label: tuple[str, str]
    formula: str
    section: str
    value: Value
    small_is_bad: bool
    unit: str = ""
    aggregate: Aggregate = mean
    form: str = ".6f"

    def text(self, number: float) -> str:
        """A value with its unit."""
        gap = " " if self.unit and self.unit != "x" else ""
        return f"{number:{self.form}}{gap}{self.unit}"


SECTIONS: Mapping[str, str] = {
    "absolute": "🔍 绝对误差 (Absolute Error), |method - baseline|, pixels in [0, 1]:",
    "relative": "🔍 相对误差 (Relative Error), |method - baseline| / (|baseline| + 1/255):",
    "quality": "📏 图像质量指标 (image quality):",
    "motion": "🎬 时序 (motion):",
    "cost": "⚡ 代价 (cost), against the baseline:",
}


def _part_psnr(observation: Observation, *, kept: bool) -> float | None:
    mask = observation.frames(kept=kept)
    return None if mask is None else metrics.psnr(observation.method[mask], observation.baseline[mask])


def _part_ssim(observation: Observation, *, kept: bool) -> float | None:
    mask = observation.frames(kept=kept)
    return None if mask is None else float(np.mean(np.array(observation.ssims)[mask]))


def _speed_up(observation: Observation) -> float:
    return observation.baseline_cost.inference_seconds / max(observation.cost.inference_seconds, 1e-9)


def _error(
    name: str, label: tuple[str, str], formula: str, value: Value, *, section: str, form: str = ".6f"
) -> Measure:
    return Measure(
        name=name,
        label=label,
        formula=formula,
        value=value,
        section=section,
        form=form,
        small_is_bad=False,
    )


def _likeness(name: str, label: tuple[str, str], formula: str, value: Value, *, unit: str, form: str) -> Measure:
    return Measure(
        name=name,
        label=label,
        formula=formula,
        value=value,
        section="quality",
        unit=unit,
        form=form,
        small_is_bad=True,
    )


def _parts() -> Iterator[Measure]:
    """PSNR and SSIM of the frames behind kept and behind filled latent frames, for half-frame generation."""
    for name, kept, chinese in (("kept", True, "保留帧"), ("filled", False, "补全帧")):
        over = f"over the frames behind {name} latent frames"
        psnr, ssim = partial(_part_psnr, kept=kept), partial(_part_ssim, kept=kept)
        labels = [(f"{kind} of {name} frames", f"{chinese} {kind}") for kind in ("PSNR", "SSIM")]
        yield _likeness(f"{name}_psnr", labels[0], f"PSNR {over}", psnr, unit="dB", form=".2f")
        yield _likeness(f"{name}_ssim", labels[1], f"SSIM {over}", ssim, unit="", form=".4f")


_MEAN, _MAX, _STD = ("mean", "平均值"), ("max", "最大值"), ("std", "标准差")
_ROWS = (
    _error("absolute_error_mean", _MEAN, "mean |m - b|", lambda o: o.absolute_error.mean, section="absolute"),
    _error("absolute_error_max", _MAX, "max |m - b|", lambda o: o.absolute_error.max, section="absolute"),
    _error("absolute_error_std", _STD, "std |m - b|", lambda o: o.absolute_error.std, section="absolute"),
    _error(
        "relative_error_mean",
        _MEAN,
        "mean |m - b| / (|b| + 1/255)",
        lambda o: o.relative_error.mean,
        section="relative",
    ),
    _error(
        "relative_error_max", _MAX, "max |m - b| / (|b| + 1/255)", lambda o: o.relative_error.max, section="relative"
    ),
    _error(
        "mse",
        ("MSE", "MSE"),
        "mean (m - b)^2",
        lambda o: metrics.mse(o.method, o.baseline),
        section="quality",
        form=".6g",
    ),
    _likeness(
        "psnr",
        ("PSNR", "PSNR"),
        "10 log10(1 / MSE), MSE over the whole video",
        lambda o: metrics.psnr(o.method, o.baseline),
        unit="dB",
        form=".2f",
    ),
    _likeness(
        "ssim",
        ("SSIM", "SSIM"),
        "Wang et al. 2004, Gaussian window of 11 x 11, mean over frames",
        lambda o: float(np.mean(o.ssims)),
        unit="",
        form=".4f",
    ),
    *_parts(),
    _error(
        "temporal_difference_error",
        ("MSE of the frame differences", "帧差误差"),
        "mean ((m[f+1] - m[f]) - (b[f+1] - b[f]))^2",
        lambda o: metrics.temporal_difference_error(o.method, o.baseline),
        section="motion",
        form=".6g",
    ),
    Measure(
        name="motion",
        label=("motion of the method", "运动量"),
        formula="mean |m[f+1] - m[f]|",
        section="motion",
        value=lambda o: metrics.motion_amount(o.method),
        small_is_bad=True,
    ),
    Measure(
        name="baseline_motion",
        label=("motion of the baseline", "基线运动量"),
        formula="mean |b[f+1] - b[f]|",
        section="motion",
        value=lambda o: metrics.motion_amount(o.baseline),
        small_is_bad=True,
    ),
    Measure(
        name="motion_ratio",
        label=("motion ratio (0 = frozen)", "运动量比"),
        formula="motion / motion of the baseline; over cases the ratio of the sums",
        section="motion",
        value=lambda o: metrics.motion_ratio(o.method, o.baseline),
        small_is_bad=True,
        aggregate=ratio_of_sums("motion", "baseline_motion"),
        form=".3f",
    ),
    Measure(
        name="speed_up",
        label=("speed-up of pure inference", "加速比"),
        unit="x",
        formula="seconds of the baseline's steps / seconds of the method's steps",
        section="cost",
        value=_speed_up,
        small_is_bad=True,
        form=".2f",
    ),
    _error(
        "flops_fraction",
        ("FLOPs (estimate)", "FLOPs（估计）"),
        "estimated FLOPs of the method's plan / of the baseline's",
        lambda o: o.cost.flops / o.baseline_cost.flops,
        section="cost",
        form=".3f",
    ),
)
MEASURES: dict[str, Measure] = {row.name: row for row in _ROWS}
HEADLINES = ("psnr", "ssim", "motion_ratio", "speed_up", "flops_fraction")
"""The columns of every overview."""


def measure(observation: Observation) -> dict[str, float]:
    """Every measure that applies; ValueError when the videos do not fit each other."""
    values = {name: row.value(observation) for name, row in MEASURES.items()}
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """One measure over all cases; ``mean`` is its aggregate, ``worst`` the least or largest, whichever is bad."""

    mean: float
    median: float
    std: float
    worst: float


def summarise(cases: Sequence[Values]) -> dict[str, Spread]:
    """Every measure that some case has, over the cases that have it."""
    summary = {}
    for name, row in MEASURES.items():
        having = [case for case in cases if name in case]
        if having:
            values = [case[name] for case in having]
            total = row.aggregate(having, name)
            # the spread of equal videos (infinite PSNR) is none
            std = float(np.std(values)) if math.isfinite(float(np.mean(values))) else 0.0
            worst = min(values) if row.small_is_bad else max(values)
            summary[name] = Spread(mean=total, median=float(np.median(values)), std=std, worst=worst)
    return summary
