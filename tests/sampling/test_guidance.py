"""Guidance arithmetic on numbers worked out by hand."""

import numpy as np
import pytest

from wan.sampling.guidance import (
    TRUNCATION_MODES,
    Branch,
    ClassifierFree,
    ReusedDelta,
    SingleBranch,
)

COND, UNCOND = np.array([3.0, 1.0]), np.array([1.0, 2.0])
BOTH = {Branch.COND: COND, Branch.UNCOND: UNCOND}


def test_classifier_free_guidance_and_its_difference() -> None:
    velocity, delta = ClassifierFree(4.0).combine(BOTH, None)
    assert velocity.tolist() == [9.0, -2.0]
    assert delta.tolist() == [2.0, -1.0]


def test_scale_one_is_the_conditional_branch() -> None:
    velocity, _ = ClassifierFree(1.0).combine(BOTH, None)
    assert velocity.tolist() == COND.tolist()


@pytest.mark.parametrize("branch", list(Branch))
def test_single_branch_keeps_the_carried_difference(branch: Branch) -> None:
    carried = np.array([5.0, 5.0])
    velocity, delta = SingleBranch(branch).combine({branch: BOTH[branch]}, carried)
    assert velocity is BOTH[branch] and delta is carried


@pytest.mark.parametrize("mode", ["reuse", "reuse_uncond"])
@pytest.mark.parametrize("scale", [1.5, 3.0, 4.0])
def test_reusing_the_exact_difference_is_full_guidance(mode: str, scale: float) -> None:
    expected, delta = ClassifierFree(scale).combine(BOTH, None)
    guidance = TRUNCATION_MODES[mode](scale, 0.9)
    assert len(guidance.branches) == 1
    velocity, carried = guidance.combine({b: BOTH[b] for b in guidance.branches}, delta)
    assert np.allclose(velocity, expected) and carried is delta


def test_a_fading_difference_goes_from_reuse_to_the_plain_branch() -> None:
    weights = [TRUNCATION_MODES["decay"](3.0, ratio).weight for ratio in (1.0, 0.9, 0.5)]  # type: ignore[attr-defined]
    assert 2.0 == weights[0] > weights[1] > weights[2] > 0.0


def test_reuse_without_a_difference_is_a_broken_plan() -> None:
    with pytest.raises(AssertionError):
        ReusedDelta(Branch.COND, 2.0).combine({Branch.COND: COND}, None)
