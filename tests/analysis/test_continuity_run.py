"""Continuity of runs built by hand: independent noise meets the theory, frozen frames are zero, switch and meeting."""

import json

import numpy as np
import pytest
import torch

from wan.analysis.continuity_run import (
    ContinuityRun,
    compare_runs,
    format_statistics,
    format_steps,
    measure_run,
    switch_statistics,
)
from wan.runs.debug_latents import DebugStep
from wan.sampling.schedule import sigma_grid

SIGMAS = sigma_grid("unipc", steps=20, shift=12.0).sigmas
FRAMES, HIGH = 13, 13


def straight_run(x0: torch.Tensor, noise: torch.Tensor, *, kept_from: int = 0, kept_until: int = 0) -> ContinuityRun:
    """A run that knows x0 from the start: x_t = (1 - sigma) x0 + sigma eps; every second frame in some steps."""
    steps = []
    for index, sigma in enumerate(SIGMAS[:-1]):
        chosen = slice(None, None, 2 if kept_from <= index < kept_until else 1)
        clean, dirt = x0[:, chosen], noise[:, chosen]
        steps.append(
            DebugStep(
                step=index + 1,
                timestep=int(1000 * sigma),
                sigma=sigma,
                expert="high_noise" if index < HIGH else "low_noise",
                x_t=(1 - sigma) * clean + sigma * dirt,
                velocity=dirt - clean,
            )
        )
    return measure_run(steps)


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(16, FRAMES, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def still(noise: torch.Tensor) -> torch.Tensor:
    return noise[:, :1].expand_as(noise)


def test_independent_noise_meets_the_theory(noise: torch.Tensor) -> None:
    x0 = torch.randn(16, FRAMES, 16, 16, generator=torch.Generator().manual_seed(1)).cumsum(dim=1) * 0.2
    run = straight_run(x0, noise)
    assert run.curve("x_t", "mse") == pytest.approx(run.theory(), rel=0.03)
    assert run.curve("eps", "normalized_l2") == pytest.approx([1.0] * 20, abs=0.02)
    assert [round(value, 1) for value in run.curve("x_t", "mse")][::12] == [2.0, 1.6]


def test_a_still_video_has_zero_distance_in_x0_and_pure_noise_in_x_t(noise: torch.Tensor, still: torch.Tensor) -> None:
    run = straight_run(still, noise)
    assert max(run.curve("x0", "mse")) < 1e-9
    assert run.curve("x0", "cosine") == pytest.approx([1.0] * 20)
    assert run.theory()[19] == pytest.approx(2 * SIGMAS[19] ** 2, abs=1e-6)


def test_x0_that_never_moves_has_no_jump_at_the_switch(noise: torch.Tensor, still: torch.Tensor) -> None:
    switch = switch_statistics(straight_run(still, noise))
    assert switch is not None and switch["first_step_of_second_expert"] == 14
    assert switch["x0_change_at_switch"] == pytest.approx(0.0, abs=1e-3)
    assert (switch["sigma_before"], switch["sigma_after"]) == pytest.approx((0.8887, 0.8658), abs=1e-4)


def test_half_frame_changes_count_and_compares_on_common_frames(noise: torch.Tensor, still: torch.Tensor) -> None:
    run = straight_run(still, noise, kept_until=HIGH)
    assert [step.latent_frames for step in run.steps] == [7] * 13 + [13] * 7
    assert run.completion == run.switch == 13
    assert run.steps[13].x0_change == pytest.approx(0.0, abs=1e-3)
    comparison = compare_runs(run, straight_run(still, noise), "x_t")
    assert comparison["from_step"] == 14 and comparison["steps_until_meeting"] == 0
    assert comparison["ratio_at_end"] == pytest.approx(1.0)


def test_frames_that_leave_and_come_back_are_compared_from_their_return_on(
    noise: torch.Tensor, still: torch.Tensor
) -> None:
    run = straight_run(still, noise, kept_from=4, kept_until=9)
    assert [step.latent_frames for step in run.steps] == [13] * 4 + [7] * 5 + [13] * 11
    assert run.completion == 9 and run.switch == 13
    assert [run.steps[index].x0_change for index in (4, 9)] == pytest.approx([0.0, 0.0], abs=1e-3)
    assert compare_runs(run, straight_run(still, noise), "x_t")["from_step"] == 10


def test_runs_of_different_length_have_no_common_step(noise: torch.Tensor, still: torch.Tensor) -> None:
    run = straight_run(still, noise)
    assert compare_runs(ContinuityRun(run.steps[:10]), run, "x_t")["comparable"] is False


def test_statistics_are_strict_json_and_readable(noise: torch.Tensor, still: torch.Tensor) -> None:
    run = straight_run(still, noise)
    data = json.loads(json.dumps(run.as_dict(), allow_nan=False))
    assert data["phase_steps"] == {"early": [1, 5], "middle": [6, 10], "late": [11, 20]}
    assert len(data["steps"][0]["spaces"]["x_t"]["mse"]["pairs"]) == FRAMES - 1
    assert data["phases"]["x_t"]["mse"]["early"] == pytest.approx(np.mean(run.curve("x_t", "mse")[:5]))
    assert "Early steps (1-5):" in format_statistics(run, "x_t")
    assert format_steps(run, "x_t").count("---- expert switch ----") == 1
    assert "theory" not in format_steps(run, "x0")


def test_one_expert_has_no_switch(noise: torch.Tensor, still: torch.Tensor) -> None:
    run = ContinuityRun(straight_run(still, noise).steps[:5])
    assert run.switch is None and switch_statistics(run) is None and run.completion is None
