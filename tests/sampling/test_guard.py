"""The collapse guard: silent inside of what a calibration saw, one warning at the step that leaves it."""

from dataclasses import replace

import pytest
import torch

from tests.toy import run_toy, toy_contexts, toy_noise, toy_plan
from wan.sampling.guard import MARGIN, CollapseGuard, SeenRecorder
from wan.sampling.plan import Plan, Seen


def seen_plan(clips: int = 3) -> Plan:
    plan, recorder = toy_plan(), SeenRecorder()
    run_toy(plan, toy_noise(clips), toy_contexts(clips), observers=[recorder])
    return replace(plan, seen=tuple(recorder.seen))


def warnings_of(plan: Plan, clips: int = 3) -> list[str]:
    said: list[str] = []
    run_toy(plan, toy_noise(clips), toy_contexts(clips), observers=[CollapseGuard(plan, said.append)])
    return said


def test_the_runs_of_the_calibration_are_inside() -> None:
    assert warnings_of(seen_plan()) == []


def test_a_plan_without_a_calibration_is_not_watched() -> None:
    assert warnings_of(toy_plan()) == []


def at(plan: Plan, index: int, seen: Seen | None) -> Plan:
    return replace(plan, seen=tuple(seen if place == index else one for place, one in enumerate(plan.seen)))


@pytest.mark.parametrize("index", [2, 5])
@pytest.mark.parametrize(("name", "changed"), [("size", "norm"), ("motion", "motion")])
def test_it_warns_once_at_the_first_step_outside_and_names_the_remedy(index: int, name: str, changed: str) -> None:
    plan = seen_plan()
    seen = plan.seen[index]
    assert seen is not None
    far = at(at(plan, index, replace(seen, **{changed: (90.0, 91.0)})), 7, Seen(norm=(90.0, 91.0), motion=(0.0, 0.1)))
    (sentence,) = warnings_of(far)
    assert sentence.startswith(f"step {index + 1} (sigma {plan.steps[index].sigma:.4f}): the {name} of the denoised")
    assert "the runs of this plan's calibration had 90 to 91 there" in sentence
    assert sentence.endswith("a higher --budget is safer, --budget 1 exact")


@pytest.mark.parametrize(("beyond", "warns"), [(0.9, False), (1.1, True)])
def test_the_margin_is_a_share_of_the_width(beyond: float, warns: bool) -> None:
    plan = seen_plan(clips=1)
    seen = plan.seen[3]
    assert seen is not None
    value, width = seen.norm[0], 0.1
    low = value + beyond * MARGIN * width
    assert bool(warnings_of(at(plan, 3, replace(seen, norm=(low, low + width))), clips=1)) is warns


def test_every_video_of_a_batch_is_looked_at() -> None:
    plan = seen_plan(clips=3)
    seen = plan.seen[4]
    assert seen is not None
    # the smallest of three is outside, the largest is not
    high = seen.norm[1]
    assert len(warnings_of(at(plan, 4, replace(seen, norm=(high, high))))) == 1


def test_steps_that_were_not_seen_are_left_out() -> None:
    assert warnings_of(at(seen_plan(), 0, None)) == []


def test_one_frame_has_no_motion() -> None:
    plan = toy_plan(replace(toy_plan().geometry, pixel_frames=1))
    recorder = SeenRecorder()
    run_toy(plan, torch.randn(2, *plan.geometry.latent_shape()), toy_contexts(2), observers=[recorder])
    assert all(seen.motion == (0.0, 0.0) and seen.norm[0] > 0 for seen in recorder.seen)
