"""Sigma grids: bit-equal to the official ones, and usable at every step count."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from wan.sampling.schedule import sigma_grid

SOLVERS = {"unipc": "unipc", "dpmpp": "dpm++"}


def test_every_recorded_grid_is_bit_equal(data_dir: Path) -> None:
    recorded = load_file(data_dir / "schedules.safetensors")
    names = [name.removesuffix(".sigmas") for name in recorded if name.endswith(".sigmas")]
    assert len(names) == 30
    for name in names:
        solver, steps, shift = name.split(".")
        grid = sigma_grid(SOLVERS[solver], steps=int(steps), shift=float(shift))
        assert np.array_equal(np.array(grid.sigmas, dtype=np.float32), recorded[f"{name}.sigmas"]), name
        assert list(grid.timesteps) == recorded[f"{name}.timesteps"].tolist(), name


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
@pytest.mark.parametrize("shift", [1.0, 5.0, 12.0])
def test_any_step_count_gives_falling_sigmas(solver: str, shift: float) -> None:
    for steps in [*range(1, 130), 500, 999]:
        grid = sigma_grid(solver, steps=steps, shift=shift)
        assert len(grid.timesteps) == steps and len(grid.sigmas) == steps + 1
        assert all(a > b for a, b in zip(grid.sigmas, grid.sigmas[1:], strict=False))
        assert grid.sigmas[-1] == 0.0


def test_the_trap_step_counts_repeat_a_timestep() -> None:
    for steps in (92, 120):
        timesteps = sigma_grid("unipc", steps=steps, shift=12.0).timesteps
        assert len(set(timesteps)) < steps


def test_expert_split_of_the_official_settings() -> None:
    def high(steps: int, shift: float, boundary: float) -> int:
        return sum(t >= boundary * 1000 for t in sigma_grid("unipc", steps=steps, shift=shift).timesteps)

    assert high(20, 12.0, 0.875) == 13
    assert high(40, 12.0, 0.875) == 26
    assert high(40, 5.0, 0.900) == 15
