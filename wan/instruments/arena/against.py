"""Ours against the best peer at the same cost, interpolated on that peer's own sweep."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from wan.analysis.comparison import finite
from wan.analysis.pareto import Point, Reached, best_reached
from wan.instruments.arena.rows import Row
from wan.instruments.arena.suite import OURS, PEER, PLAIN

MARGIN_DB = 3.0
MOTION_RANGE = (0.95, 1.05)
OBEDIENCE_POINTS = 2.0
"""What the project asks of a plan at its cost: this much above the best peer in mean PSNR, not below it in the worst
clip, motion in this range, obedience at most so many points below the baseline's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Against:
    """One of our methods and the best peer at its cost. ``mean_error``: standard error of the mean difference over the
    clips, paired. The peer of the worst clip can be another one. ``missed``: the demands that are not met."""

    name: str
    cost: float
    mean: float
    peer: Reached | None
    difference: float | None
    mean_error: float | None
    worst: float
    worst_peer: Reached | None
    worst_difference: float | None
    missed: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        return finite(asdict(self))


def peer_points(rows: Sequence[Row], quality: str) -> dict[str, list[Point]]:
    """The sweeps of all peers by family: cost and ``quality`` (a field of ``Row``)."""
    families: dict[str, list[Point]] = defaultdict(list)
    for row in rows:
        if row.role == PEER and row.cost is not None:
            families[row.family].append(Point(name=row.name, cost=row.cost, quality=getattr(row, quality)))
    return dict(families)


def against_peers(rows: Sequence[Row]) -> list[Against]:
    """Each of our methods against the upper envelope of the peers' sweeps, for the mean and for the worst clip."""
    means, worsts = peer_points(rows, "psnr"), peer_points(rows, "psnr_worst")
    by_name = {row.name: row for row in rows}
    return [_against(row, means, worsts, by_name) for row in rows if row.role == OURS and row.cost is not None]


def _against(
    row: Row, means: Mapping[str, list[Point]], worsts: Mapping[str, list[Point]], by_name: Mapping[str, Row]
) -> Against:
    assert row.cost is not None and row.psnr is not None and row.psnr_worst is not None
    peer, worst_peer = best_reached(means, row.cost), best_reached(worsts, row.cost)
    difference = None if peer is None else row.psnr - peer.quality
    worst_difference = None if worst_peer is None else row.psnr_worst - worst_peer.quality
    return Against(
        name=row.name,
        cost=row.cost,
        mean=row.psnr,
        peer=peer,
        difference=difference,
        mean_error=None if peer is None else _paired_error(row, peer, by_name),
        worst=row.psnr_worst,
        worst_peer=worst_peer,
        worst_difference=worst_difference,
        missed=tuple(_missed(row, by_name[PLAIN], difference, worst_difference)),
    )


def _paired_error(row: Row, peer: Reached, by_name: Mapping[str, Row]) -> float | None:
    """The mean is linear in the clips, so the peer's interpolated mean is that of its interpolated clips."""
    lower, upper = by_name[peer.lower].psnrs, by_name[peer.upper or peer.lower].psnrs
    differences = [
        own - ((1.0 - peer.weight) * one + peer.weight * other)
        for own, one, other in zip(row.psnrs, lower, upper, strict=True)
        if own is not None and one is not None and other is not None
    ]
    if len(differences) < 2 or not math.isfinite(sum(differences)):
        return None
    return float(np.std(differences, ddof=1) / math.sqrt(len(differences)))


def _missed(row: Row, plain: Row, difference: float | None, worst_difference: float | None) -> list[str]:
    missed = []
    if difference is not None and difference < MARGIN_DB:
        missed.append(f"mean: +{MARGIN_DB:g} dB")
    if worst_difference is not None and worst_difference < 0.0:
        missed.append("worst clip")
    low, high = MOTION_RANGE
    if row.motion_ratio is not None and not low <= row.motion_ratio <= high:
        missed.append(f"motion {low:g} to {high:g}")
    lost = 100.0 * ((plain.obedience or 0.0) - (row.obedience or 0.0))
    if lost > OBEDIENCE_POINTS:
        missed.append(f"obedience -{lost:.1f} points")
    return missed
