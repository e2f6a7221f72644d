"""The Pareto front, and what a family reaches between its points."""

import math

import pytest

from wan.analysis.pareto import Point, best_reached, pareto_front, reached


def points(**values: tuple[float, float]) -> list[Point]:
    return [Point(name=name, cost=cost, quality=quality) for name, (cost, quality) in values.items()]


SWEEP = points(a=(0.8, 40.0), b=(0.5, 30.0), beaten=(0.6, 25.0), c=(0.3, 20.0), same_cost=(0.5, 29.0))


def test_the_front_holds_what_no_other_point_beats() -> None:
    assert [point.name for point in pareto_front(SWEEP)] == ["c", "b", "a"]
    assert pareto_front([]) == []


@pytest.mark.parametrize(
    ("cost", "quality", "lower", "upper"),
    [
        (0.4, 25.0, "c", "b"),
        (0.5, 30.0, "b", None),
        (0.65, 35.0, "b", "a"),  # over the beaten point
        (0.8, 40.0, "a", None),
        (0.95, 40.0, "a", None),  # who can pay more can also pay less
    ],
)
def test_between_two_points_it_is_linear_in_the_cost(cost: float, quality: float, lower: str, upper: str) -> None:
    found = reached("family", SWEEP, cost)
    assert found and (found.lower, found.upper) == (lower, upper)
    assert found.quality == pytest.approx(quality)


def test_below_the_cheapest_point_nothing_is_reached() -> None:
    assert reached("family", SWEEP, 0.29) is None
    assert best_reached({"family": SWEEP}, 0.29) is None and best_reached({}, 1.0) is None


def test_equal_videos_take_no_part() -> None:
    found = reached("family", [*SWEEP, *points(plain=(1.0, math.inf))], 0.9)
    assert found and found.quality == 40.0


def test_the_best_family_wins_at_each_cost() -> None:
    families = {"one": SWEEP, "other": points(d=(0.35, 28.0))}
    best = {cost: best_reached(families, cost) for cost in (0.3, 0.4, 0.7)}
    assert {cost: found.family for cost, found in best.items() if found} == {0.3: "one", 0.4: "other", 0.7: "one"}
