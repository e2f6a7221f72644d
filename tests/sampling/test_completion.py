"""Frame completion: order, noise, kept frames, contiguity, batches, gradients."""

import pytest
import torch
from torch import Tensor

from wan.sampling.completion import COMPLETIONS, complete_frames, select_frames
from wan.sampling.geometry import Geometry, kept_frames
from wan.sampling.plan import Plan, Stage
from wan.sampling.policies import make_plan
from wan.sampling.solvers import make_solver
from wan.sampling.state import SamplerState
from wan.settings import SamplingSettings


def half_frame_plan(latent_frames: int, solver: str = "unipc", completion: str = "repeat") -> Plan:
    settings = SamplingSettings(
        solver=solver,
        steps=20,
        shift=12.0,
        boundary=0.875,
        low_noise_guidance_scale=3.0,
        high_noise_guidance_scale=4.0,
        frame_completion=completion,
    )
    geometry = Geometry(
        pixel_frames=4 * (latent_frames - 1) + 1,
        height=16,
        width=16,
        latent_channels=4,
        vae_stride=(4, 8, 8),
        patch_size=(1, 2, 2),
    )
    return make_plan(settings, geometry)


def state_at_the_switch(plan: Plan, batch: int = 1) -> tuple[SamplerState, Stage]:
    """A state that has run the high-noise stage with a made-up velocity."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(batch, *plan.geometry.latent_shape(), generator=generator)
    first, second = plan.stages
    kept = kept_frames(plan.geometry.latent_frames, first.latent_frames)
    state = SamplerState(latents=select_frames(noise, kept), noise=noise, solver=make_solver(plan))
    for step in first.steps:
        state.latents = state.solver.step(state.latents, 0.5 * state.latents.tanh(), step)
    return state, second


@pytest.mark.parametrize(
    ("latent_frames", "order"),
    [(13, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]), (12, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]), (2, [0, 0])],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_repeat_order_contiguity_and_batch(latent_frames: int, order: list[int], batch: int) -> None:
    plan = half_frame_plan(latent_frames)
    state, stage = state_at_the_switch(plan, batch)
    before = state.latents.clone()
    complete_frames(state, stage, COMPLETIONS["repeat"])
    assert state.latents.shape == (batch, *plan.geometry.latent_shape())
    assert state.latents.is_contiguous()
    for frame, source in enumerate(order):
        assert torch.equal(state.latents[:, :, frame], before[:, :, source])
    assert state.solver.denoised().shape == state.latents.shape


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
@pytest.mark.parametrize("latent_frames", [13, 12])
def test_improved_keeps_kept_frames_and_gives_filled_ones_their_own_noise(solver: str, latent_frames: int) -> None:
    plan = half_frame_plan(latent_frames, solver)
    state, stage = state_at_the_switch(plan)
    before, denoised = state.latents.clone(), state.solver.denoised().clone()
    complete_frames(state, stage, COMPLETIONS["improved"])
    for frame in range(latent_frames):
        got, source = state.latents[:, :, frame], frame // 2
        if frame % 2 == 0:
            assert torch.equal(got, before[:, :, source])
        else:
            expected = (1 - stage.sigma) * denoised[:, :, source] + stage.sigma * state.noise[:, :, frame]
            assert torch.allclose(got, expected, atol=1e-6)
    assert state.latents.is_contiguous()


def test_repeat_shares_noise_between_neighbours_and_improved_does_not() -> None:
    def neighbour_distance(completion: str) -> float:
        state, stage = state_at_the_switch(half_frame_plan(13))
        complete_frames(state, stage, COMPLETIONS[completion])
        return (state.latents[:, :, 1::2] - state.latents[:, :, :-1:2]).square().mean().item()

    assert neighbour_distance("repeat") == 0.0
    assert neighbour_distance("improved") > 0.5


def test_interpolate_averages_the_denoised_neighbours() -> None:
    state, stage = state_at_the_switch(half_frame_plan(13))
    denoised = state.solver.denoised().clone()
    complete_frames(state, stage, COMPLETIONS["interpolate"])
    middle = (denoised[:, :, 2] + denoised[:, :, 3]) / 2
    expected = (1 - stage.sigma) * middle + stage.sigma * state.noise[:, :, 5]
    assert torch.allclose(state.latents[:, :, 5], expected, atol=1e-6)


def test_interpolate_never_copies_the_single_pixel_frame_zero() -> None:
    state, stage = state_at_the_switch(half_frame_plan(13))
    denoised = state.solver.denoised().clone()
    complete_frames(state, stage, COMPLETIONS["interpolate"])
    expected = (1 - stage.sigma) * denoised[:, :, 1] + stage.sigma * state.noise[:, :, 1]
    assert torch.allclose(state.latents[:, :, 1], expected, atol=1e-6)


@pytest.mark.parametrize("latent_frames", [2, 3, 4, 12])
def test_interpolate_reaches_the_ends(latent_frames: int) -> None:
    state, stage = state_at_the_switch(half_frame_plan(latent_frames))
    denoised = state.solver.denoised().clone()
    complete_frames(state, stage, COMPLETIONS["interpolate"])
    last_filled = latent_frames - 1 if latent_frames % 2 == 0 else latent_frames - 2
    source = denoised[:, :, -1]
    if latent_frames % 2 == 1 and latent_frames > 3:
        source = (denoised[:, :, -2] + denoised[:, :, -1]) / 2
    expected = (1 - stage.sigma) * source + stage.sigma * state.noise[:, :, last_filled]
    assert torch.allclose(state.latents[:, :, last_filled], expected, atol=1e-6)


def test_nothing_happens_when_the_count_is_right() -> None:
    state, stage = state_at_the_switch(half_frame_plan(13))
    complete_frames(state, stage, COMPLETIONS["repeat"])
    before = state.latents
    complete_frames(state, stage, COMPLETIONS["repeat"])
    assert state.latents is before


@pytest.mark.parametrize("completion", [name for name in COMPLETIONS if name != "follow"])
@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
def test_gradients_flow_through_completion(completion: str, solver: str) -> None:
    plan = half_frame_plan(13, solver, completion)
    first, second = plan.stages
    noise = torch.randn(1, *plan.geometry.latent_shape(), generator=torch.Generator().manual_seed(0))
    noise.requires_grad_()
    state = SamplerState(latents=select_frames(noise, kept_frames(13, 7)), noise=noise, solver=make_solver(plan))
    for step in first.steps:
        state.latents = state.solver.step(state.latents, 0.5 * state.latents.tanh(), step)
    complete_frames(state, second, COMPLETIONS[completion])
    gradient = _gradient_of_frame_one(state.latents, noise)
    assert torch.isfinite(gradient).all()
    source = 2 if completion == "interpolate" else 0
    assert gradient[:, :, source].abs().sum() > 0  # the kept frame that frame 1 is filled from
    assert gradient[:, :, 4].abs().sum() == 0  # a frame that it does not depend on


def _gradient_of_frame_one(latents: Tensor, noise: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(latents[:, :, 1].square().sum(), noise)
    return gradient
