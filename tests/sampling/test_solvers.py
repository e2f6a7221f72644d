"""Solver adapters: the official trajectories, an exact restart, an exact frame map."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.solvers import make_solver
from wan.settings import SamplingSettings


def plan_of(solver: str, steps: int, shift: float) -> Plan:
    settings = SamplingSettings(
        solver=solver,
        steps=steps,
        shift=shift,
        boundary=None,
        low_noise_guidance_scale=1.0,
        high_noise_guidance_scale=1.0,
    )
    geometry = Geometry(
        pixel_frames=5, height=16, width=16, latent_channels=4, vae_stride=(4, 8, 8), patch_size=(1, 2, 2)
    )
    return make_plan(settings, geometry)


def field(latents: Tensor, timestep: int, constant: Tensor) -> Tensor:
    """The velocity field that the recorded trajectories follow."""
    return 0.7 * latents - 0.3 * torch.tanh(latents) * timestep / 1000 + constant


@pytest.mark.parametrize("solver", ["unipc", "dpm++"])
@pytest.mark.parametrize(("steps", "shift"), [(4, 5.0), (8, 5.0), (20, 12.0), (40, 5.0)])
def test_trajectory_equals_the_official_one(data_dir: Path, solver: str, steps: int, shift: float) -> None:
    recorded = load_file(data_dir / "schedules.safetensors")
    expected = recorded[f"traj.{solver.replace('+', 'p')}.{steps}.{shift:g}"]
    plan = plan_of(solver, steps, shift)
    adapter, latents = make_solver(plan), recorded["field.x0"]
    for step in plan.steps:
        latents = adapter.step(latents, field(latents, step.timestep, recorded["field.c"]), step)
        assert torch.allclose(latents, expected[step.index][None], atol=1e-4)


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
@pytest.mark.parametrize("steps", [1, 2, 3, 92, 120])
def test_awkward_step_counts_run_to_a_finite_end(solver: str, steps: int) -> None:
    plan = plan_of(solver, steps, 12.0)
    adapter, latents = make_solver(plan), torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.ones_like(latents)
    for step in plan.steps:
        latents = adapter.step(latents, (latents - target) / step.sigma, step)
    # the exact velocity towards one point: every solver must end there
    assert torch.allclose(latents, target, atol=1e-3)


@pytest.mark.parametrize("solver", ["unipc", "dpm++"])
def test_restart_equals_a_fresh_solver_at_that_step(solver: str) -> None:
    plan, start = plan_of(solver, 20, 12.0), 13
    constant = torch.zeros(1, 4, 2, 2, 2)
    noise = torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    used, latents = make_solver(plan), noise
    for step in plan.steps[:start]:
        latents = used.step(latents, field(latents, step.timestep, constant), step)
    used.restart()
    fresh = make_solver(plan)
    fresh._scheduler.set_begin_index(start)  # type: ignore[attr-defined]
    other = latents
    for step in plan.steps[start:]:
        latents = used.step(latents, field(latents, step.timestep, constant), step)
        other = fresh.step(other, field(other, step.timestep, constant), step)
    assert torch.equal(latents, other)


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
@pytest.mark.parametrize("switch", [1, 2, 7, 13])
def test_mapped_history_equals_a_run_that_always_had_the_frames(solver: str, switch: int) -> None:
    plan = plan_of(solver, 20, 12.0)
    constant = torch.randn(1, 4, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    short = torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))

    def double(frames: Tensor) -> Tensor:
        return frames.repeat_interleave(2, dim=2)

    half, full, whole = make_solver(plan), double(short), make_solver(plan)
    for step in plan.steps:
        if step.index == switch:
            short = double(short)
            half.map_frames(double)
        short = half.step(short, field(short, step.timestep, constant), step)
        full = whole.step(full, field(full, step.timestep, constant), step)
    assert torch.equal(short, full)


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
def test_denoised_is_x_minus_sigma_v(solver: str) -> None:
    plan = plan_of(solver, 20, 12.0)
    latents = torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    velocity = torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    adapter = make_solver(plan)
    adapter.step(latents, velocity, plan.steps[0])
    assert torch.allclose(adapter.denoised(), latents - plan.steps[0].sigma * velocity, atol=1e-6)


def test_euler_is_a_straight_step_without_a_history() -> None:
    plan = plan_of("euler", 4, 12.0)
    assert plan.sigmas[0] == 1.0 and plan.timesteps[0] == 1000
    solver, latents = make_solver(plan), torch.ones(1, 2, 3, 2, 2)
    for step in plan.steps:
        made = solver.step(latents, 2 * latents, step)
        torch.testing.assert_close(made, latents + (step.sigma_next - step.sigma) * 2 * latents)
        torch.testing.assert_close(solver.denoised(), latents - step.sigma * 2 * latents)
        solver.restart()
        latents = made
