"""Recordings: what they hold, states between the recorded sigmas, and read back instead of made again."""

from pathlib import Path

import pytest
import torch

from tests.toy import ToyExperts, toy_batch, toy_plan
from wan.sampling.guidance import Branch
from wan.tune.recording import Recording, record

SIGMAS = (1.0, 0.8, 0.5, 0.2, 0.0)


def parabola() -> Recording:
    states = torch.stack([torch.full((2, 1, 1, 1, 1), 3 * s**2 - s + 0.5) for s in SIGMAS])
    return Recording(sigmas=SIGMAS, states=states, cond=states[:-1], uncond=states[:-1])


@pytest.mark.parametrize("index", range(5))
def test_a_recorded_state_is_handed_out_as_it_is(index: int) -> None:
    recording = parabola()
    assert torch.equal(recording.state_at(SIGMAS[index]), recording.states[index])


@pytest.mark.parametrize("sigma", [0.95, 0.79, 0.6, 0.31, 0.19, 0.01])
def test_between_them_a_parabola_is_exact(sigma: float) -> None:
    expected = torch.full((2, 1, 1, 1, 1), 3 * sigma**2 - sigma + 0.5)
    assert torch.allclose(parabola().state_at(sigma), expected, atol=1e-5)


def test_it_holds_all_states_and_both_estimates(tmp_path: Path) -> None:
    plan, batch, ticks = toy_plan(), toy_batch(), []
    recording = record(batch, plan, tmp_path / "recording.safetensors", tick=lambda: ticks.append(1))
    assert recording.sigmas == plan.sigmas and len(ticks) == len(plan.steps)
    assert torch.equal(recording.states[0], batch.noise) and torch.equal(recording.final, batch.run(plan))
    step, state = plan.steps[3], recording.states[3]
    velocities = ToyExperts().predict(step, state, torch.zeros(3), batch.contexts)
    assert torch.allclose(recording.cond[3], state - step.sigma * velocities[Branch.COND], atol=1e-6)
    assert torch.allclose(recording.uncond[3], state - step.sigma * velocities[Branch.UNCOND], atol=1e-6)


def test_it_is_read_back_without_a_forward(tmp_path: Path) -> None:
    path, plan = tmp_path / "recording.safetensors", toy_plan()
    made = record(toy_batch(), plan, path, tick=lambda: None)
    experts = ToyExperts()
    again = record(toy_batch(experts=experts), plan, path, tick=lambda: None)
    assert experts.forwards == 0
    assert torch.equal(again.states, made.states) and torch.equal(again.uncond, made.uncond)
