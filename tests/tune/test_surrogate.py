"""The surrogate on a recording whose errors are known in closed form, and amplification of a linear field."""

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.toy import ToyExperts, toy_batch, toy_plan
from wan.sampling.plan import Step
from wan.tune.amplification import growth, interpolated
from wan.tune.recording import Recording, record
from wan.tune.surrogate import Surrogate, decibels

STEPS = 6
NEWS = (0.9, 0.05, 0.6, 0.4, 0.02, 0.3)
"""How much the estimate of every step adds, in a direction that nothing before it has."""


def recording_of(news: Sequence[float]) -> Recording:
    """x_j = noise + the news of all estimates before j, in orthogonal directions."""
    directions = torch.eye(1 + 2 * STEPS, dtype=torch.float64)
    cond = [directions[1 + j] for j in range(STEPS)]
    uncond = [directions[1 + STEPS + j] for j in range(STEPS)]
    states = [directions[0]]
    for j in range(STEPS):
        states.append(states[-1] + news[j] * cond[j])
    shape = (-1, 1, 1, 1, 1, 1 + 2 * STEPS)
    sigmas = tuple(1 - j / STEPS for j in range(STEPS + 1))
    return Recording(
        sigmas=sigmas,
        states=torch.stack(states).reshape(shape),
        cond=torch.stack(cond).reshape(shape),
        uncond=torch.stack(uncond).reshape(shape),
    )


def known_error(kept: Sequence[int], amplification: Sequence[float]) -> float:
    """Every step lacks the news of the estimates that the plan left out before it."""
    ends = [*kept[1:], STEPS]
    lacking = [sum(NEWS[i] ** 2 for i in range(end) if i not in kept) for end in ends]
    size = 1 + sum(new**2 for new in NEWS)
    return sum(amplification[end] ** 2 * lack for end, lack in zip(ends, lacking, strict=True)) / size


AMPLIFICATION = (1.0, 4.0, 3.0, 2.0, 1.0, 0.5, 1.0)
PLANS = [(0, *rest) for count in range(1, STEPS) for rest in combinations(range(1, STEPS), count)]


@pytest.mark.parametrize("kept", PLANS)
def test_the_error_of_every_plan_is_the_known_one(kept: tuple[int, ...]) -> None:
    # a projection on recorded states in between would know the news of the steps that the plan leaves out
    (error,) = Surrogate(recording_of(NEWS), AMPLIFICATION).error(kept)
    assert error == pytest.approx(known_error(kept, AMPLIFICATION), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_the_best_plan_is_found(count: int) -> None:
    plans = [plan for plan in PLANS if len(plan) == count]
    best = min(plans, key=lambda kept: known_error(kept, AMPLIFICATION))
    proposed = Surrogate(recording_of(NEWS), AMPLIFICATION).propose(count)
    assert proposed[0] == best
    assert all(len(plan) == count and plan[0] == 0 and list(plan) == sorted(set(plan)) for plan in proposed)


def test_decibels() -> None:
    assert decibels(np.array([1.0, 0.01, 0.0])).tolist() == pytest.approx([0.0, 20.0, 120.0])


RATE = -1.2


def linear(latents: Tensor, step: Step, context: Tensor) -> Tensor:
    return RATE * latents + context


@pytest.mark.parametrize("step", [5, 20, 35])
def test_the_growth_of_a_linear_field_is_the_analytic_one(step: int, tmp_path: Path) -> None:
    """dx / dsigma = a x + c: a difference at sigma is exp(-a sigma) times as large at 0, whatever the direction."""
    plan = toy_plan(steps=40, shift=1.0, boundary=None)
    batch = toy_batch(experts=ToyExperts(linear))
    recording = record(batch, plan, tmp_path / "recording.safetensors", tick=lambda: None)
    found = growth(batch, plan, recording, step)
    assert found == pytest.approx(math.exp(-RATE * plan.steps[step].sigma), rel=0.03)


def test_few_clips_are_disturbed_as_the_first_of_all(tmp_path: Path) -> None:
    plan = toy_plan(steps=10)
    recording = record(toy_batch(3), plan, tmp_path / "recording.safetensors", tick=lambda: None)
    one = toy_batch(3)
    few = type(one)(
        session=one.session,
        noise=one.noise[:1],
        contexts={branch: context[:1] for branch, context in one.contexts.items()},
        at_once=1,
    )
    assert growth(few, plan, recording, 4) > 0


def test_between_measured_steps_it_is_linear_and_1_at_the_end() -> None:
    assert interpolated({2: 4.0, 4: 2.0}, 6) == pytest.approx([4.0, 4.0, 4.0, 3.0, 2.0, 1.5, 1.0])
