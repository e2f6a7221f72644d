"""One row per method over all clips of an arena: cost, time, fidelity to the baseline, and truth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from wan.analysis.comparison import finite
from wan.analysis.measures import MEASURES
from wan.demo_world.words import Combination
from wan.instruments.arena.contestants import Contestant
from wan.instruments.arena.runner import Found, values_of
from wan.instruments.arena.suite import PLAIN
from wan.instruments.arena.truth import Judge

STEADY = 1.5
"""Seconds of the plain plan's slowest clip over those of its fastest. Beyond it the machine did other work as well, and
times say nothing: every clip of a suite has the same shape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One method over the clips on which it ran.

    ``cost``: executed FLOPs, and ``time``: seconds of the sampling loop, both as fractions of the plain plan's on the
    same clips; ``seconds`` per clip, None for both where the machine was not ``STEADY``. ``psnrs`` by clip (None: not
    made). ``obedience`` and ``motion_right``: shares of clips in which the detector reads everything, or the motion,
    that was asked. ``error``: why clips are missing.
    """

    name: str
    family: str
    role: str
    clips: int
    error: str | None = None
    cost: float | None = None
    time: float | None = None
    seconds: float | None = None
    psnr: float | None = None
    psnr_std: float | None = None
    psnr_worst: float | None = None
    ssim: float | None = None
    ssim_worst: float | None = None
    motion_ratio: float | None = None
    obedience: float | None = None
    motion_right: float | None = None
    frechet: float | None = None
    psnrs: tuple[float | None, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        return finite(asdict(self))


def make_rows(
    contestants: Sequence[Contestant], found: Found, *, judge: Judge | None, shown: Sequence[Combination]
) -> list[Row]:
    """A row for every contestant, in their order. ``judge`` and ``shown`` (what every clip should show): where the demo
    world's truth is known."""
    return [_row(one, found[one.name], found[PLAIN], judge=judge, shown=shown) for one in contestants]


def _row(
    one: Contestant,
    cases: Sequence[Mapping[str, Any]],
    baseline: Sequence[Mapping[str, Any]],
    *,
    judge: Judge | None,
    shown: Sequence[Combination],
) -> Row:
    is_steady = _spread(baseline) <= STEADY
    pairs = [
        (number, case, reference)
        for number, (case, reference) in enumerate(zip(cases, baseline, strict=False))
        if "error" not in case
    ]
    errors = [case["error"] for case in cases if "error" in case]
    error = one.refusal or (f"{errors[0]} ({len(errors)} of {len(cases)} clips)" if errors else None)
    head: dict[str, Any] = {
        "name": one.name,
        "family": one.family,
        "role": one.role,
        "clips": len(pairs),
        "error": error,
    }
    if not pairs:
        return Row(**head)
    values = [values_of(case) for _, case, _ in pairs]
    by_clip = {number: value["psnr"] for (number, _, _), value in zip(pairs, values, strict=True)}
    psnrs, ssims = [value["psnr"] for value in values], [value["ssim"] for value in values]
    scores = Row(
        **head,
        cost=_ratio(pairs, "flops"),
        time=_ratio(pairs, "inference_seconds") if is_steady else None,
        seconds=float(np.mean([case["cost"]["inference_seconds"] for _, case, _ in pairs])) if is_steady else None,
        psnr=float(np.mean(psnrs)),
        # the spread of equal videos (infinite PSNR) is none
        psnr_std=float(np.std(psnrs)) if math.isfinite(sum(psnrs)) else 0.0,
        psnr_worst=min(psnrs),
        ssim=float(np.mean(ssims)),
        ssim_worst=min(ssims),
        motion_ratio=MEASURES["motion_ratio"].aggregate(values, "motion_ratio"),
        psnrs=tuple(by_clip.get(number) for number in range(len(baseline))),
    )
    return (
        scores if judge is None else _with_truth(scores, [(case["truth"], shown[at]) for at, case, _ in pairs], judge)
    )


def _ratio(pairs: Sequence[tuple[int, Mapping[str, Any], Mapping[str, Any]]], name: str) -> float:
    """Sum over sum of a part of the cost."""
    own, plain = sum(case["cost"][name] for _, case, _ in pairs), sum(plain["cost"][name] for *_, plain in pairs)
    return float(own / plain)


def _spread(baseline: Sequence[Mapping[str, Any]]) -> float:
    seconds = [case["cost"]["inference_seconds"] for case in baseline if "error" not in case]
    return max(seconds) / min(seconds) if seconds else 1.0


def _with_truth(row: Row, truths: Sequence[tuple[Mapping[str, Any], Combination]], judge: Judge) -> Row:
    return replace(
        row,
        obedience=float(np.mean([truth["agrees"]["all_four"] for truth, _ in truths])),
        motion_right=float(np.mean([truth["agrees"]["motion"] for truth, _ in truths])),
        frechet=judge.distance([(truth["features"], shown) for truth, shown in truths]),
    )
