"""What a tuning run costs, said before it begins, and the budgets that cannot be tuned."""

import math

import pytest

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import prepare
from wan.request import Request
from wan.sampling.price import published_size
from wan.tune.options import BUDGETS, DEMO_OPTIONS, TuneOptions, measured_steps, steps_for, tune_cost


def test_one_budget_on_a14b_costs_at_most_40_plain_videos() -> None:
    job = prepare(Request(task="t2v-A14B", prompt="x"))
    for budget in BUDGETS:
        options = TuneOptions(budgets=(budget,))
        cost = tune_cost(options, steps=40, geometry=job.geometry, size=published_size(job.config))
        assert cost.baseline_videos <= 40, budget


def test_the_parts_of_a_small_run() -> None:
    job = prepare(Request(task="t2v-demo", prompt="x"))
    options = TuneOptions(budgets=(0.5, 0.25), clips=3, verify_clips=2, trials=4, amplification_steps=2)
    cost = tune_cost(options, steps=20, geometry=job.geometry, size=published_size(WAN_CONFIGS["t2v-demo"]))
    assert measured_steps(20, 2) == [2, 19]
    assert cost.parts == {
        "recording": 40 * 3,
        "amplification": 4 * (18 + 1),  # twice to the end, with both branches
        "search": 2 * (10 + 5) * 3 * 4,
        "verification": 2 * (20 + 10 + 5) * 2,
    }
    assert cost.baseline_videos == cost.forwards / 40
    first, second = cost.lines()
    assert (
        f"at most {cost.forwards:,} forwards (recording 120, amplification 76, search 360, verification 140)" in first
    )
    assert "on one H100" in second and "45% of the data sheets' bfloat16 speed" in second


@pytest.mark.parametrize(("steps", "count"), [(20, 8), (40, 4), (5, 9), (4, 1)])
def test_measured_steps_can_be_disturbed_and_lie_in_the_run(steps: int, count: int) -> None:
    found = measured_steps(steps, count)
    assert found == sorted(set(found)) and found[0] >= 2 and found[-1] <= steps - 1 and len(found) <= count


@pytest.mark.parametrize(("budget", "steps", "count"), [(0.5, 20, 10), (0.35, 20, 7), (0.7, 10, 7), (0.24, 13, 3)])
def test_a_budget_pays_for_whole_steps(budget: float, steps: int, count: int) -> None:
    assert steps_for(budget, steps) == count


@pytest.mark.parametrize("budget", [0.0, -0.5, 1.0, 1.5, math.nan, math.inf])
def test_a_budget_out_of_range_is_refused(budget: float) -> None:
    with pytest.raises(InvalidInput, match=f"--budgets {budget:g} must be above 0 and below 1"):
        steps_for(budget, 20)


@pytest.mark.parametrize("steps", [7, 13, 20, 40])
def test_too_small_a_budget_names_one_that_suffices(steps: int) -> None:
    with pytest.raises(InvalidInput, match=f"of {steps} steps pays for 0, and a plan needs at least 3; give") as caught:
        steps_for(0.01, steps)
    enough = float(str(caught.value).rsplit(" ", 1)[1])
    assert steps_for(enough, steps) >= 3


def test_the_demo_model_is_tuned_with_more() -> None:
    assert DEMO_OPTIONS.clips == DEMO_OPTIONS.verify_clips == 36 and DEMO_OPTIONS.budgets == BUDGETS
