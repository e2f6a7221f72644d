"""Stopped runs of every task and checkpoint layout go on by the command, and end bit-equal to unstopped ones."""

from pathlib import Path

import pytest
import torch

from tests.goldens import RUNS, TOLERANCE, tensors, worst
from tests.parity.conftest import Materialised
from tests.parity.test_command import command, run_folder
from wan.cli.main import run as run_command
from wan.generation import generate
from wan.job import prepare
from wan.request import parse_request
from wan.run_parts import ResumeFile
from wan.runs.latents import load_latents
from wan.runs.state_file import STATE_NAME
from wan.sampling.observers import StepEvent


class Stopped(BaseException):
    """As if the process had been killed: no handler knows it."""


def stopped(argv: list[str], folder: Path, *, after: int) -> Path:
    """The folder of a run that ends when the state after a step is on disk."""
    keep = ResumeFile.on_step_end

    def on_step_end(self: ResumeFile, event: StepEvent) -> None:
        keep(self, event)
        self.wait()
        if event.step.index + 1 == after:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumeFile, "on_step_end", on_step_end)
        with pytest.raises(Stopped):
            generate(prepare(parse_request(argv)), say=print, show_progress=False)
    assert (run_folder(folder) / STATE_NAME).is_file()
    return run_folder(folder)


def continued(argv: list[str], folder: Path, *, after: int) -> torch.Tensor:
    run = stopped(argv, folder, after=after)
    assert run_command("generate", ["--resume", str(run), "--quiet"]) == 0
    return load_latents(run / "latents.safetensors")


@pytest.mark.parametrize(("layout", "after"), [("official", 1), ("official", 3), ("diffusers", 2)])
@pytest.mark.parametrize("run", RUNS)
def test_a_recorded_run_that_was_stopped(
    materialised: Materialised, tmp_path: Path, run: str, layout: str, after: int
) -> None:
    latents = continued(command(run, materialised(run, layout), tmp_path), tmp_path, after=after)
    assert worst(latents, tensors(run)["final_latent"]) < TOLERANCE


@pytest.mark.parametrize("run", ["i2v_A14B_unipc", "ti2v_5B_i2v_unipc", "wan21_i2v_unipc"])
def test_an_image_run_with_shortcuts_is_bit_equal(materialised: Materialised, tmp_path: Path, run: str) -> None:
    # the middle steps, so that it works with one expert, too
    half = ["--enable_half_frame_generation", "--half_frame_start", "1", "--half_frame_steps", "2"]
    flags = [*half, "--frame_positions", "spread", "--frame_completion", "interpolate", "--cfg_truncate_steps", "1"]
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole = [*command(run, materialised(run), tmp_path / "whole"), *flags]
    assert run_command("generate", [*whole, "--quiet"]) == 0
    latents = continued([*command(run, materialised(run), tmp_path / "stopped"), *flags], tmp_path / "stopped", after=2)
    assert torch.equal(latents, load_latents(run_folder(tmp_path / "whole") / "latents.safetensors"))


def test_text_to_image(materialised: Materialised, tmp_path: Path) -> None:
    argv = command("wan21_t2v_unipc", materialised("wan21_t2v_unipc"), tmp_path)
    argv[argv.index("--task") + 1] = "t2i-14B"
    argv[argv.index("--frame_num") + 1] = "1"
    latents = continued(argv, tmp_path, after=2)
    assert latents.shape == torch.Size([16, 1, 4, 6])
    assert {path.name for path in run_folder(tmp_path).glob("[!.]*")} == {
        "image.png",
        "latents.safetensors",
        "run.json",
    }
