"""The debug run through the command: same latents to the bit, files, contents, refusals."""

import json
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch

from wan.cli.main import run
from wan.runs.debug_latents import debug_step_files, find_debug_latents, iterate_debug_steps, load_debug_step
from wan.runs.latents import load_latents
from wan.runs.record import load_record

TRUNCATED = ["--cfg_truncate_steps", "2", "--cfg_truncate_high_noise_steps", "1"]
HALF = ["--enable_half_frame_generation", "--enable_improved_frame_completion"]


def command(checkpoint: Path, output: Path, *flags: str) -> list[str]:
    base = ["--task", "t2v-demo", "--ckpt_dir", str(checkpoint), "--base_seed", "5", "--quiet", "--size", "32*32"]
    return [*base, "--sample_steps", "8", "--frame_num", "17", "--output_dir", str(output), *flags]


def run_folder(output: Path) -> Path:
    return next(folder for folder in output.iterdir() if (folder / "run.json").is_file())


@pytest.fixture(scope="module")
def runs(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same truncated half-frame run without and with debug."""
    plain, debug = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("debug")
    assert run("generate", command(tiny_checkpoint, plain, *TRUNCATED, *HALF)) == 0
    assert run("generate", command(tiny_checkpoint, debug, *TRUNCATED, *HALF, "--enable_debug")) == 0
    return plain, debug


def test_debug_changes_no_bit(runs: tuple[Path, Path]) -> None:
    plain, debug = (load_latents(run_folder(output) / "latents.safetensors") for output in runs)
    assert torch.equal(plain, debug)


def test_shadow_passes_are_counted_apart(runs: tuple[Path, Path]) -> None:
    plain, debug = (load_record(run_folder(output))["forwards"] for output in runs)
    assert debug["executed"] == debug["planned"] == plain["executed"] == 13
    assert debug["evaluated_beside"] == {"high_noise.uncond": 1, "low_noise.uncond": 2}


def test_every_step_is_on_disk_and_consistent(runs: tuple[Path, Path]) -> None:
    folder = find_debug_latents(run_folder(runs[1]))
    assert folder == runs[1] / "debug_outputs" / "debug_latents"
    assert [path.name for path in debug_step_files(folder)] == [f"latent_step_{n:02d}.pt" for n in range(1, 9)]
    saved = torch.load(folder / "latent_step_02.pt", weights_only=True)
    assert set(saved) == {"step", "timestep", "sigma_t", "expert", "x_t", "x0_pred", "eps_pred", "velocity"}
    assert (saved["step"], saved["expert"]) == (2, "high_noise")
    assert saved["x_t"].shape == (16, 3, 4, 4)
    sigma = saved["sigma_t"]
    assert torch.allclose(saved["x_t"], (1 - sigma) * saved["x0_pred"] + sigma * saved["eps_pred"], atol=1e-5)
    assert torch.allclose(saved["velocity"], saved["eps_pred"] - saved["x0_pred"], atol=1e-5)
    frames = [step.x_t.shape[1] for step in iterate_debug_steps(folder)]
    assert frames == [3] * sum(n == 3 for n in frames) + [5] * sum(n == 5 for n in frames)
    assert np.isclose(float(load_debug_step(folder / "latent_step_01.pt").x_t.std()), 1.0, atol=0.1)


def test_error_analysis_reports_the_cost_of_skipped_passes(runs: tuple[Path, Path]) -> None:
    folder = runs[1] / "debug_outputs" / "error_analysis"
    assert {path.name for path in folder.iterdir()} == {
        "cfg_error_visualization.png",
        "cfg_reuse.png",
        "error_analysis.json",
        "error_analysis_report.txt",
    }
    analysis = json.loads((folder / "error_analysis.json").read_text(encoding="utf-8"))
    truncated = [step["truncated"] for step in analysis["steps"]]
    assert sum(truncated) == 3 and truncated[-2:] == [True, True]
    for step in analysis["steps"]:
        assert (step["used_error"] > 1e-15) == step["truncated"]
        assert step["mse"] > 0 and len(step["products"]) == len(step["reuse_error_by_age"])
    assert analysis["steps"][0]["change_mse"] is None and analysis["run"]["seed"] == "5"
    assert len(analysis["findings"]) == 3


def test_another_debug_run_gets_its_own_folder(tiny_checkpoint: Path, runs: tuple[Path, Path]) -> None:
    first = runs[1] / "debug_outputs" / "error_analysis" / "error_analysis.json"
    before = first.read_bytes()
    assert run("generate", command(tiny_checkpoint, runs[1], "--enable_debug", "--debug_dtype", "bfloat16")) == 0
    assert first.read_bytes() == before
    second = runs[1] / "debug_outputs-2" / "debug_latents" / "latent_step_01.pt"
    assert torch.load(second, weights_only=True)["x_t"].dtype == torch.bfloat16
    assert load_debug_step(second).x_t.dtype == torch.float32
    elements = prod(load_debug_step(second).x_t.shape)
    assert second.stat().st_size < 4 * 2 * elements + 8192  # four tensors of two bytes; no view drags its storage along


def test_overwrite_removes_the_steps_that_a_shorter_run_does_not_replace(tiny_checkpoint: Path, tmp_path: Path) -> None:
    flags = ["--enable_debug", "--debug_output_dir", str(tmp_path / "debug")]
    assert run("generate", command(tiny_checkpoint, tmp_path / "a", *flags)) == 0
    short = [*command(tiny_checkpoint, tmp_path / "b", *flags, "--overwrite"), "--sample_steps", "3"]
    assert run("generate", short) == 0
    assert len(debug_step_files(tmp_path / "debug" / "debug_latents")) == 3
    assert not (tmp_path / "debug-2").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--debug_dtype", "float16"], "--debug_output_dir and --debug_dtype need --enable_debug"),
        (["--enable_debug", "--debug_output_dir", "/dev/null/x"], "--debug_output_dir /dev/null/x cannot hold results"),
    ],
)
def test_refusals_before_any_weight(
    flags: list[str], sentence: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", command(tiny_checkpoint, tmp_path / "out", *flags)) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert run("generate", command(tiny_checkpoint, tmp_path / "out", "--enable_debug")) == 2
    assert "the latents of all steps need" in capsys.readouterr().err


def test_what_is_no_debug_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no latents of single steps"):
        find_debug_latents(tmp_path)
    torch.save({"step": 1}, tmp_path / "latent_step_01.pt")
    with pytest.raises(ValueError, match="is not the latents of a debug step"):
        load_debug_step(tmp_path / "latent_step_01.pt")
    (tmp_path / "latent_step_02.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"latent_step_02\.pt is not the latents"):
        load_debug_step(tmp_path / "latent_step_02.pt")
