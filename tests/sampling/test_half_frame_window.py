"""Frames that leave in the middle of a run and come back: windows of the plan, the state at both ends, whole runs."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.sampling.test_completion import half_frame_plan
from tests.sampling.test_loop import GEOMETRY, SETTINGS, Recorder, run
from wan.errors import InvalidInput
from wan.sampling.completion import COMPLETIONS, enter_stage, select_frames
from wan.sampling.geometry import Geometry, kept_frames
from wan.sampling.guidance import Branch, ReusedDelta
from wan.sampling.observers import ForwardCounter, Observer, StepEvent
from wan.sampling.plan import Expert, Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, price
from wan.sampling.solvers import make_solver
from wan.sampling.state import SamplerState
from wan.sampling.table import format_plan
from wan.settings import SamplingSettings

LONG = Geometry(pixel_frames=49, height=16, width=16, latent_channels=4, vae_stride=(4, 8, 8), patch_size=(1, 2, 2))


def made(**changes: Any) -> Plan:
    asked = {"frame_completion": "interpolate"} | changes
    settings = SamplingSettings(
        solver="unipc",
        steps=20,
        shift=12.0,
        boundary=0.875,
        low_noise_guidance_scale=3.0,
        high_noise_guidance_scale=4.0,
    )
    return make_plan(replace(settings, **asked), LONG)


def stages(plan: Plan) -> list[tuple[str, int, int]]:
    return [(stage.expert.value[:4], stage.latent_frames, len(stage.steps)) for stage in plan.stages]


def test_windows() -> None:
    assert stages(made()) == [("high", 7, 13), ("low_", 13, 7)]
    assert stages(made(half_frame_start=4)) == [("high", 13, 4), ("high", 7, 9), ("low_", 13, 7)]
    middle = made(half_frame_start=4, half_frame_steps=5, frame_positions="spread")
    assert stages(middle) == [("high", 13, 4), ("high", 7, 5), ("high", 13, 4), ("low_", 13, 7)]
    assert [step.position_stride for step in middle.steps] == [1] * 4 + [2] * 5 + [1] * 11
    assert [step.index for step in middle.steps if step.restarts] == [4]
    across = made(half_frame_start=12, half_frame_steps=3)
    assert stages(across) == [("high", 13, 12), ("high", 7, 1), ("low_", 7, 2), ("low_", 13, 5)]
    assert stages(made(boundary=None, half_frame_steps=3)) == [("sing", 7, 3), ("sing", 13, 17)]


def test_a_window_that_does_not_fit_is_clipped_with_a_notice() -> None:
    late = made(half_frame_start=10, half_frame_steps=99)
    assert [step.latent_frames for step in late.steps] == [13] * 10 + [7] * 9 + [13]
    assert late.notices == ("--half_frame_steps 99 is clipped to 9: the last step has all frames",)
    for empty in (made(half_frame_steps=0), made(half_frame_start=13), made(half_frame_start=99)):
        assert {step.latent_frames for step in empty.steps} == {13}
        assert "no step is left for half of the frames" in empty.notices[0]


def test_the_price_and_the_table_follow_the_window() -> None:
    size = DenoiserSize(dim=64, ffn_dim=256, num_layers=2, text_len=8)
    plan = made(half_frame_start=4, half_frame_steps=5, frame_completion="follow")
    half, full = (size.forward_flops(LONG.tokens(frames)) for frames in (7, 13))
    assert price(plan, size).planned.flops == pytest.approx(2 * (5 * half + 15 * full))
    text = format_plan(plan)
    assert "---- high noise, 13 -> 7 latent frames (every second one) ----" in text
    assert "---- high noise, 7 -> 13 latent frames (follow) ----" in text
    assert "---- high noise -> low noise ----" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"half_frame_start": -1}, "--half_frame_start -1 must be 0 or a number of steps"),
        ({"half_frame_steps": -2}, "--half_frame_steps -2 must be 0 or a number of steps"),
        ({"frame_completion": None, "half_frame_start": 2}, "--half_frame_start 2 needs --enable_half_frame_gen"),
        ({"frame_completion": None, "half_frame_steps": 2}, "--half_frame_steps 2 needs --enable_half_frame_gen"),
        ({"frame_completion": "follow"}, "--frame_completion follow needs --half_frame_start of at least 1"),
        ({"boundary": None, "half_frame_start": 3}, "say with --half_frame_steps how many steps"),
    ],
)
def test_refusals(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        made(**changes)


def state_after(plan: Plan, steps: int) -> SamplerState:
    """A state that has run the plan's first steps with a made-up velocity."""
    noise = torch.randn(1, *plan.geometry.latent_shape(), generator=torch.Generator().manual_seed(0))
    state = SamplerState(latents=noise, noise=noise, solver=make_solver(plan))
    for step in plan.steps[:steps]:
        state.latents = state.solver.step(state.latents, 0.5 * state.latents.tanh(), step)
    state.expert, state.delta = plan.steps[steps - 1].expert, state.latents.tanh()
    return state


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
def test_leaving_frames_out_is_the_run_that_never_had_them(solver: str) -> None:
    plan = replace(made(half_frame_start=4), solver=solver)
    plan = replace(plan, steps=tuple(replace(step, restarts=False) for step in plan.steps))
    state, kept = state_after(plan, 4), kept_frames(13, 7)
    assert state.delta is not None
    delta = state.delta
    enter_stage(state, plan.stages[1], COMPLETIONS["follow"])
    assert torch.equal(state.delta, select_frames(delta, kept))
    alone = SamplerState(latents=select_frames(state.noise, kept), noise=state.noise, solver=make_solver(plan))
    for step in plan.steps[:4]:
        alone.latents = alone.solver.step(alone.latents, 0.5 * alone.latents.tanh(), step)
    for step in plan.steps[4:8]:
        for one in (state, alone):
            one.latents = one.solver.step(one.latents, 0.5 * one.latents.tanh(), step)
        assert torch.equal(state.latents, alone.latents)


def test_frames_that_come_back_at_once_are_where_they_were() -> None:
    plan = made(half_frame_start=4, half_frame_steps=3)
    state = state_after(plan, 4)
    before, delta = state.latents.clone(), state.delta
    enter_stage(state, plan.stages[1], COMPLETIONS["follow"])
    back = replace(plan.stages[2], steps=plan.stages[1].steps)  # all frames again, at the same sigma
    enter_stage(state, back, COMPLETIONS["follow"])
    assert torch.allclose(state.latents, before, atol=1e-6)
    assert delta is not None and state.delta is not None
    assert torch.equal(state.delta[:, :, ::2], delta[:, :, ::2])
    assert torch.allclose(state.delta[:, :, 5], (delta[:, :, 4] + delta[:, :, 6]) / 2)


def test_followed_frames_move_as_their_neighbours() -> None:
    plan = made(half_frame_start=4, half_frame_steps=3)
    state = state_after(plan, 4)
    enter_stage(state, plan.stages[1], COMPLETIONS["follow"])
    left = state.left
    assert left is not None and left.sigma == plan.steps[4].sigma
    for step in plan.stages[1].steps:
        state.latents = state.solver.step(state.latents, 0.5 * state.latents.tanh(), step)
    moved = state.solver.denoised() - left.denoised[:, :, ::2]
    enter_stage(state, plan.stages[2], COMPLETIONS["follow"])
    x0 = left.denoised[:, :, 5] + (moved[:, :, 2] + moved[:, :, 3]) / 2
    eps = (left.latents[:, :, 5] - (1 - left.sigma) * left.denoised[:, :, 5]) / left.sigma
    sigma = plan.stages[2].sigma
    assert torch.allclose(state.latents[:, :, 5], (1 - sigma) * x0 + sigma * eps, atol=1e-5)


def test_another_expert_inherits_no_difference() -> None:
    plan = half_frame_plan(13)
    state = SamplerState(
        latents=torch.zeros(1, *LONG.latent_shape()),
        noise=torch.zeros(1, *LONG.latent_shape()),
        solver=make_solver(plan),
    )
    state.expert, state.delta = Expert.HIGH_NOISE, torch.ones(1, *LONG.latent_shape())
    enter_stage(state, plan.stages[1], COMPLETIONS["repeat"])
    assert state.expert is Expert.LOW_NOISE and state.delta is None


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
def test_a_window_of_no_steps_is_the_plain_run_bit_for_bit(solver: str) -> None:
    settings = replace(SETTINGS, solver=solver)
    plain = run(make_plan(settings, GEOMETRY))
    window = replace(settings, frame_completion="follow", half_frame_start=2, half_frame_steps=0)
    assert torch.equal(run(make_plan(window, GEOMETRY)), plain)


def test_the_first_steps_are_the_plain_runs_and_kept_frames_keep_their_noise() -> None:
    settings = replace(SETTINGS, frame_completion="follow", half_frame_start=2, half_frame_steps=2)
    plain, window = Recorder(), Recorder()
    entered: list[Tensor] = []

    class Watch(Observer):
        def on_step_end(self, event: StepEvent) -> None:
            entered.append(event.latents_in[0])

    run(make_plan(SETTINGS, GEOMETRY), observers=(plain,))
    run(make_plan(settings, GEOMETRY), observers=(window, Watch()))
    assert all(torch.equal(a, b) for a, b in zip(plain.latents[:2], window.latents[:2], strict=True))
    assert torch.equal(entered[2], plain.latents[1][:, ::2])
    assert [latents.shape[1] for latents in window.latents] == [3, 3, 2, 2, 3, 3]


@pytest.mark.parametrize("mode", ["reuse", "decay", "cond"])
@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
@pytest.mark.parametrize("cache", [{}, {"cache": "taylor", "cache_interval": 2}])
def test_truncated_guidance_lives_through_both_changes(mode: str, solver: str, cache: dict[str, Any]) -> None:
    """All but the first high-noise steps reuse a D that was measured before the frames left."""
    asked = {"frame_completion": "follow", "half_frame_start": 2, "half_frame_steps": 2, "cfg_truncate_mode": mode}
    settings = replace(SETTINGS, solver=solver, steps=10, cfg_truncate_high_noise_steps=5, **asked, **cache)
    plan, counter = make_plan(settings, GEOMETRY), ForwardCounter()
    high = [step for step in plan.steps if step.expert is Expert.HIGH_NOISE]
    assert {type(step.guidance) is ReusedDelta for step in high[2:]} == {mode != "cond"}
    assert all(step.branches == (Branch.COND,) for step in high[2:])
    latents = run(plan, counter=counter)
    assert torch.isfinite(latents).all() and latents.shape == (1, *GEOMETRY.latent_shape())
    assert cache or counter.total == plan.forwards
