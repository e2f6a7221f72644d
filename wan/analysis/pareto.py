"""Quality against cost: the Pareto front of points, and what the best of several families reaches at a given cost."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One setting of one method: its cost (a fraction of the baseline's) and a quality of which more is better."""

    name: str
    cost: float
    quality: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """What a family reaches at a cost: on the line between two of its points, or at one of them (``upper`` None).

    The quality is (1 - ``weight``) times that of ``lower``, plus ``weight`` times that of ``upper``.
    """

    family: str
    quality: float
    lower: str
    upper: str | None = None
    weight: float = 0.0


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other one beats: by cost, each better than all cheaper ones."""
    front: list[Point] = []
    for point in sorted(points, key=lambda one: (one.cost, -one.quality)):
        if not front or point.quality > front[-1].quality:
            front.append(point)
    return front


def reached(family: str, points: Sequence[Point], cost: float) -> Reached | None:
    """What a family's own sweep reaches at ``cost``: linear in the cost between neighbouring points of its front.

    Above its dearest point it stays at that point's quality (who can pay more can also pay less); None below its
    cheapest one. Points of infinite quality (the baseline itself, nothing saved) take no part.
    """
    front = pareto_front(point for point in points if math.isfinite(point.quality))
    affordable = [point for point in front if point.cost <= cost]
    if not affordable:
        return None
    lower, position = affordable[-1], len(affordable)
    if lower.cost == cost or position == len(front):
        return Reached(family=family, quality=lower.quality, lower=lower.name)
    upper = front[position]
    weight = (cost - lower.cost) / (upper.cost - lower.cost)
    quality = (1.0 - weight) * lower.quality + weight * upper.quality
    return Reached(family=family, quality=quality, lower=lower.name, upper=upper.name, weight=weight)


def best_reached(families: Mapping[str, Sequence[Point]], cost: float) -> Reached | None:
    """The family that reaches most at ``cost``, each on its own sweep; None where no family is that cheap."""
    found = [one for family, points in families.items() if (one := reached(family, points, cost)) is not None]
    return max(found, key=lambda one: one.quality, default=None)
