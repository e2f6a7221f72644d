"""A run that was stopped goes on where it was and ends bit-equal to one that never was; a changed one is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wan import generation
from wan.cli.main import run as run_command
from wan.errors import InvalidInput
from wan.generation import generate
from wan.job import prepare
from wan.request import parse_request
from wan.resuming import earlier_run
from wan.runs import load_record
from wan.runs.latents import load_latents
from wan.runs.state_file import STATE_NAME
from wan.run_parts import ResumeFile
from wan.sampling.observers import StepEvent

BASE = ["--task", "t2v-demo", "--prompt", "a red circle moving right on a blue background", "--base_seed", "3"]
SHORT = [*BASE, "--sample_steps", "8", "--frame_num", "9"]
HALF = ["--enable_half_frame_generation", "--frame_completion", "interpolate"]
RUNS: dict[str, list[str]] = {
    "plain": [],
    "dpm++": ["--sample_solver", "dpm++"],
    "truncated": ["--cfg_truncate_steps", "2", "--cfg_truncate_high_noise_steps", "2", "--cfg_truncate_mode", "decay"],
    "half": HALF,
    "half spread": [*HALF, "--frame_positions", "spread"],
    "window": ["--enable_half_frame_generation", "--half_frame_start", "2", "--half_frame_steps", "3",
               "--frame_completion", "follow"],
    "restart": ["--restart_at_switch"],
    "sea": ["--cache", "sea", "--cache_threshold", "2.0"],
    "mag": ["--cache", "mag", "--cache_threshold", "0.3", "--cache_retention", "0.1"],
    "first block": ["--cache", "first_block", "--cache_threshold", "0.8"],
    "taylor": ["--cache", "taylor", "--cache_order", "2"],
    "cache and truncation": ["--cache", "sea", "--cache_threshold", "2.0", "--cfg_truncate_steps", "2"],
    "batched": ["--batch_cfg", "--cache", "sea", "--cache_threshold", "2.0"],
    "budget": ["--budget", "0.5"],
    "debug": ["--enable_debug", "--cfg_truncate_steps", "2"],
}  # fmt: skip


class Stopped(BaseException):
    """As if the process had been killed: nothing that a handler does after it counts."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The process ends when the state after that step is on disk; kill -9 leaves no time for anything else."""
    keep = ResumeFile.on_step_end

    def set_up(steps: int) -> None:
        def on_step_end(self: ResumeFile, event: StepEvent) -> None:
            keep(self, event)
            if event.step.index + 1 == steps:
                raise Stopped

        monkeypatch.setattr(ResumeFile, "on_step_end", on_step_end)

    return set_up


def made(argv: list[str], output_dir: Path) -> Path:
    generate(prepare(parse_request([*argv, "--output_dir", str(output_dir)])), say=print, show_progress=False)
    return run_in(output_dir)


def run_in(output_dir: Path) -> Path:
    (run,) = output_dir.glob("t2v-demo_*")
    return run


def stopped(argv: list[str], output_dir: Path) -> Path:
    with pytest.raises(Stopped):
        made(argv, output_dir)
    return run_in(output_dir)


def resumed(run: Path, **how: Any) -> Path:
    generation.resume(earlier_run(run, **how), say=print, show_progress=False)
    return run


def latents(run: Path) -> torch.Tensor:
    return load_latents(run / "latents.safetensors")


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_is_bit_equal(
    name: str, tmp_path: Path, stop_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [*(BASE if name == "budget" else SHORT), *RUNS[name]]
    whole = made(argv, tmp_path / "whole")
    for steps in (1, 3, 5):
        stop_after(steps)
        run = stopped(argv, tmp_path / f"stopped_{steps}")
        stop_after(-1)
        assert (run / STATE_NAME).is_file()
        resumed(run)
        assert torch.equal(latents(run), latents(whole)), f"stopped after step {steps}"
        assert not (run / STATE_NAME).exists() and (run / "video.mp4").is_file()
        assert load_record(run)["forwards"] == load_record(whole)["forwards"]
