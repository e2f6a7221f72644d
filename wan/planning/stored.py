"""Calibrations: the plans that ``wan tune`` found for one checkpoint, as a readable JSON file.

A plan is stored in terms of sigma and expert, never of a video's shape or a step number of the plain grid: it can be
carried to other sizes, lengths, scales and step counts (``wan.planning.carry``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from wan.commands import command_line
from wan.errors import InvalidInput
from wan.runs.atomic import write_json_atomic
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Expert, Seen
from wan.sampling.update import LinearUpdate
from wan.settings import SamplingSettings
from wan.untrusted.json_text import read_bytes
from wan.untrusted.refusal import Refused

FORMAT = "wan22-shortcut calibration 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The plain run that the plans stand for. ``guide_scale``: (low noise, high noise); ``size``: (width, height)."""

    solver: str
    steps: int
    shift: float
    boundary: float | None
    guide_scale: tuple[float, float]
    size: tuple[int, int]
    frame_num: int

    @classmethod
    def of(cls, settings: SamplingSettings, geometry: Geometry) -> "Baseline":
        """The plain run with these settings in this shape."""
        return cls(
            solver=settings.solver,
            steps=settings.steps,
            shift=settings.shift,
            boundary=settings.boundary,
            guide_scale=(settings.low_noise_guidance_scale, settings.high_noise_guidance_scale),
            size=(geometry.width, geometry.height),
            frame_num=geometry.pixel_frames,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredStep:
    """One step. ``seen`` None: a plan that was never run."""

    sigma: float
    timestep: int
    expert: Expert
    update: LinearUpdate
    seen: Seen | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What a plan scored on ``clips`` clips that it was not tuned on, against the same-seed baseline.

    ``psnr``, ``psnr_worst`` in dB on decoded floats; ``motion``: its motion over the baseline's, mean.
    """

    clips: int
    psnr: float
    psnr_worst: float
    motion: float

    def sentence(self) -> str:
        """For people."""
        return (
            f"expected error against the plain run: PSNR {self.psnr:.1f} dB, worst clip {self.psnr_worst:.1f} dB, "
            f"motion ratio {self.motion:.2f} ({self.clips} clips that it was not tuned on)"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPlan:
    """The plan of one budget. ``budget``: the share of the plain run's forwards that it may cost at most."""

    budget: float
    steps: tuple[StoredStep, ...]
    expected: Expected | None
    tuning: Mapping[str, Any]

    @property
    def forwards(self) -> int:
        """Both guidance passes of every step."""
        return 2 * len(self.steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """All plans of one checkpoint (``checkpoint``: its identity), cheapest first, and the command that made them."""

    task: str
    checkpoint: str
    command: str
    baseline: Baseline
    plans: tuple[StoredPlan, ...]

    def within(self, forwards: float) -> StoredPlan | None:
        """The dearest plan that costs at most so many forwards, None where all cost more."""
        affordable = [plan for plan in self.plans if plan.forwards <= forwards + 1e-6]
        return max(affordable, key=lambda plan: plan.forwards, default=None)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Replace ``path``; OSError when it cannot be written."""
    data = asdict(calibration)
    for plan in data["plans"]:
        for step in plan["steps"]:
            step["expert"] = step["expert"].value
    write_json_atomic(path, {"format": FORMAT, **data})


def read_calibration(path: Path) -> Calibration:
    """Read and check a calibration; ``InvalidInput`` names the file, what is wrong in it and what mends it."""
    make_it = f"make one with `{command_line('tune')}`"
    try:
        content = read_bytes(path)
    except Refused as error:
        raise InvalidInput(f"the plans of {path} cannot be read: {error}; {make_it}") from None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the plans of {path} are not JSON ({error}); {make_it}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InvalidInput(f"{path} is no calibration (its 'format' is not {FORMAT!r}); {make_it}")
    try:
        return _calibration(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidInput(f"the calibration {path} is damaged: {what}; {make_it}") from None


def _calibration(data: Mapping[str, Any]) -> Calibration:
    base = data["baseline"]
    plans = sorted((_plan(plan) for plan in data["plans"]), key=lambda plan: plan.forwards)
    if not plans:
        raise ValueError("it holds no plan")
    return Calibration(
        task=str(data["task"]),
        checkpoint=str(data["checkpoint"]),
        command=str(data["command"]),
        baseline=Baseline(
            solver=str(base["solver"]),
            steps=int(base["steps"]),
            shift=float(base["shift"]),
            boundary=None if base["boundary"] is None else float(base["boundary"]),
            guide_scale=_pair(base["guide_scale"]),
            size=_whole(base["size"]),
            frame_num=int(base["frame_num"]),
        ),
        plans=tuple(plans),
    )


def _plan(data: Mapping[str, Any]) -> StoredPlan:
    steps = tuple(_step(step, number) for number, step in enumerate(data["steps"], start=1))
    if not steps:
        raise ValueError(f"the plan of budget {data['budget']} has no step")
    # written so that NaN, which compares as false, is refused too
    if not all(high > low for high, low in pairwise([*(step.sigma for step in steps), 0.0])) or not steps[0].sigma <= 1:
        raise ValueError(f"the sigmas of budget {data['budget']} do not fall from at most 1 to above 0")
    budget = float(data["budget"])
    if not 0 < budget < 1:
        raise ValueError(f"the budget {budget:g} is not between 0 and 1")
    return StoredPlan(
        budget=budget,
        steps=steps,
        expected=None if data["expected"] is None else _expected(data["expected"]),
        tuning=dict(data["tuning"]),
    )


def _expected(data: Mapping[str, Any]) -> Expected:
    psnr, worst, motion = (float(data[name]) for name in ("psnr", "psnr_worst", "motion"))
    return Expected(clips=int(data["clips"]), psnr=psnr, psnr_worst=worst, motion=motion)


def _step(data: Mapping[str, Any], number: int) -> StoredStep:
    update = data["update"]
    weights = LinearUpdate(
        noise=float(update["noise"]),
        denoised=_floats(update["denoised"]),
        differences=_floats(update["differences"]),
    )
    if len(weights.denoised) != number:
        raise ValueError(f"step {number} has {len(weights.denoised)} weights of denoised estimates instead of {number}")
    if not all(isfinite(weight) for weight in (weights.noise, *weights.denoised, *weights.differences)):
        raise ValueError(f"step {number} has a weight that is not finite")
    seen = data.get("seen")
    return StoredStep(
        sigma=float(data["sigma"]),
        timestep=int(data["timestep"]),
        expert=Expert(data["expert"]),
        update=weights,
        seen=None if seen is None else Seen(norm=_pair(seen["norm"]), motion=_pair(seen["motion"])),
    )


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _pair(values: Sequence[Any]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)


def _whole(values: Sequence[Any]) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)
