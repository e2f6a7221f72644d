"""Every recorded run through generate.py on a checkpoint directory; latents are read from the run folder (1e-4)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.goldens import RUNS, TOLERANCE, input_image, recorded, tensors, worst
from tests.parity.conftest import Materialised
from wan.cli.main import run as run_command
from wan.runs.latents import load_latents

ROOT = Path(__file__).parents[2]
# for image input --size is an area: these have the recorded ones
SIZES = {
    "t2v_A14B_unipc": "64*32",
    "i2v_A14B_unipc": "64*48",
    "ti2v_5B_t2v_unipc": "96*64",
    "ti2v_5B_i2v_unipc": "96*64",
    "wan21_t2v_unipc": "48*32",
    "wan21_i2v_unipc": "48*40",
}


def command(run: str, ckpt_dir: Path, folder: Path) -> list[str]:
    """The flags that repeat a recorded run."""
    asked = recorded(run)
    scale = asked["guide_scale"]
    flags = {
        "task": RUNS[run].task,
        "ckpt_dir": str(ckpt_dir),
        "prompt": asked["prompt"],
        "negative_prompt": asked["negative"],
        "size": SIZES[run],
        "frame_num": str(asked["args"]["frame_num"]),
        "sample_steps": str(asked["steps"]),
        "sample_shift": str(asked["shift"]),
        "base_seed": str(asked["seed"]),
        "dtype": "float32",
        "device": "cpu",
        "output_dir": str(folder / "outputs"),
    }
    if asked["image"]:
        input_image().save(folder / "input.png")
        flags["image"] = str(folder / "input.png")
    argv = [part for name, value in flags.items() for part in (f"--{name}", value)]
    return [*argv, "--sample_guide_scale", *(str(value) for value in (scale if isinstance(scale, list) else [scale]))]


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "outputs").iterdir()
    return found


@pytest.mark.parametrize("layout", ["official", "diffusers"])
@pytest.mark.parametrize("run", RUNS)
def test_recorded_run(materialised: Materialised, tmp_path: Path, run: str, layout: str) -> None:
    assert run_command("generate", [*command(run, materialised(run, layout), tmp_path), "--quiet"]) == 0
    latents = load_latents(run_folder(tmp_path) / "latents.safetensors")
    assert worst(latents, tensors(run)["final_latent"]) < TOLERANCE
    record = json.loads((run_folder(tmp_path) / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["forwards"]["executed"] == record["forwards"]["planned"] == 2 * recorded(run)["steps"]
    assert (run_folder(tmp_path) / "video.mp4").stat().st_size > 0


def test_machine_flags_change_no_latent(materialised: Materialised, tmp_path: Path) -> None:
    run = "i2v_A14B_unipc"
    flags = ["--offload", "none", "--vae_tiling", "--attention", "native", "--text_cache", str(tmp_path / "texts")]
    assert run_command("generate", [*command(run, materialised(run), tmp_path), *flags, "--quiet"]) == 0
    latents = load_latents(run_folder(tmp_path) / "latents.safetensors")
    assert worst(latents, tensors(run)["final_latent"]) < TOLERANCE
    assert len(list((tmp_path / "texts").iterdir())) == 2


def test_as_a_user_runs_it(materialised: Materialised, tmp_path: Path) -> None:
    run = "t2v_A14B_unipc"
    argv = command(run, materialised(run, "official", 3), tmp_path)
    answer = subprocess.run([sys.executable, "generate.py", *argv], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    latents = load_latents(run_folder(tmp_path) / "latents.safetensors")
    assert worst(latents, tensors(run)["final_latent"]) < TOLERANCE


def test_text_to_image_saves_a_picture(materialised: Materialised, tmp_path: Path) -> None:
    argv = command("wan21_t2v_unipc", materialised("wan21_t2v_unipc"), tmp_path)
    argv[argv.index("--task") + 1] = "t2i-14B"
    argv[argv.index("--frame_num") + 1] = "1"
    assert run_command("generate", [*argv, "--quiet"]) == 0
    made = {path.name for path in run_folder(tmp_path).glob("[!.]*")}
    assert made == {"image.png", "latents.safetensors", "run.json"}
    assert load_latents(run_folder(tmp_path) / "latents.safetensors").shape == torch.Size([16, 1, 4, 6])


def test_dry_run_prices_the_checkpoint_that_is_there(
    materialised: Materialised, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = "i2v_A14B_unipc"
    assert run_command("generate", [*command(run, materialised(run), tmp_path), "--dry_run"]) == 0
    assert "9 frames of 64x32 -> 3 latent frames of 8x4" in capsys.readouterr().out
    assert not (tmp_path / "outputs").exists()
