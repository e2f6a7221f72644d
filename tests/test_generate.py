"""The command as a user runs it, on the model that ships with the project: what it makes, prints, records, refuses."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from wan.cli.main import run as run_command
from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.runs.latents import load_latents
from wan.runs.video import read_video, read_video_metadata
from wan.sampling.observers import NaNGuard, Observer, StepEvent

PROMPT = "a red circle moving right on a blue background"
FAST = ["--task", "t2v-demo", "--prompt", PROMPT, "--sample_steps", "6", "--frame_num", "17", "--base_seed", "3"]


def command(*argv: str) -> subprocess.CompletedProcess[str]:
    """``python generate.py ...`` in a process of its own."""
    return subprocess.run(
        [sys.executable, str(SOURCE_DIR / "generate.py"), *argv], capture_output=True, text=True, timeout=120
    )


def only_run(output_dir: Path) -> Path:
    (run,) = output_dir.iterdir()
    return run


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One run with both shortcuts."""
    output_dir = tmp_path_factory.mktemp("outputs")
    shortcuts = ["--enable_half_frame_generation", "--cfg_truncate_steps", "1", "--cfg_truncate_high_noise_steps", "2"]
    result = command(*FAST, *shortcuts, "--output_dir", str(output_dir))
    assert result.returncode == 0, result.stderr
    return only_run(output_dir), result


def test_the_run_folder_holds_video_latents_and_record(finished: tuple[Path, Any]) -> None:
    run, _ = finished
    assert re.fullmatch(r"t2v-demo_\d{8}-\d{6}_a-red-circle-moving-right-on-a-blue-background", run.name)
    assert read_video(run / "video.mp4").shape == (17, 64, 64, 3)
    assert read_video_metadata(run / "video.mp4")["prompt"] == PROMPT
    latents = load_latents(run / "latents.safetensors")
    assert latents.shape == (16, 5, 8, 8) and latents.dtype == torch.float32


def test_the_record_tells_the_whole_run(finished: tuple[Path, Any]) -> None:
    run, _ = finished
    content = record(run)
    assert content["status"] == "finished"
    assert (content["task"], content["prompt"], content["seed"]) == ("t2v-demo", PROMPT, 3)
    steps = content["plan"]["steps"]
    assert [step["index"] for step in steps] == list(range(6))
    assert {"sigma", "timestep", "expert", "latent_frames", "branches", "guidance"} <= set(steps[0])
    assert [step["latent_frames"] for step in steps] == [3] * 4 + [5] * 2
    forwards = content["forwards"]
    assert forwards["planned"] == forwards["executed"] == 12 - 3
    assert forwards["planned_by"] == forwards["executed_by"]
    assert content["plan"]["price"]["fraction"]["flops"] < 0.8
    timing = content["timing"]
    assert len(timing["steps"]) == 6
    assert {"model_load", "text_encoding", "inference", "expert_switch", "decode", "save"} <= set(timing)
    assert timing["inference"] == pytest.approx(sum(timing["steps"]))
    assert content["settings"]["batch_cfg"] is content["settings"]["compile"] is False
    assert content["versions"]["torch"] == torch.__version__
    assert re.fullmatch(r"[0-9a-f]{64}", content["checkpoint"]["id"])
    assert Path(content["outputs"]["video"]).is_file() and Path(content["outputs"]["latents"]).is_file()


def test_what_a_user_reads(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, result = finished
    assert "high noise -> low noise, 3 -> 5 latent frames (repeat)" in result.stdout
    assert "pure inference" in result.stdout and "frames per second" in result.stdout
    assert result.stdout.rstrip().endswith(f"saved {run / 'video.mp4'}")
    assert "6/6" in result.stderr  # the progress bar


def test_the_recorded_command_reproduces_the_latents_bit_for_bit_and_quietly(
    finished: tuple[Path, Any], tmp_path: Path
) -> None:
    run, _ = finished
    program, script, *argv = shlex.split(record(run)["command"])
    assert (program, Path(script).name) == ("python", "generate.py")
    argv[argv.index("--output_dir") + 1] = str(tmp_path)
    result = command(*argv, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    again = load_latents(only_run(tmp_path) / "latents.safetensors")
    assert torch.equal(again, load_latents(run / "latents.safetensors"))


def test_a_random_seed_is_recorded_and_drawn_anew(tmp_path: Path) -> None:
    argv = ["--task", "t2v-demo", "--sample_steps", "1", "--frame_num", "5", "--quiet", "--output_dir", str(tmp_path)]
    assert run_command("generate", argv) == run_command("generate", argv) == 0
    seeds = [record(run)["seed"] for run in tmp_path.iterdir()]
    assert len(seeds) == 2 and seeds[0] != seeds[1] and min(seeds) >= 0


def test_save_file_gets_the_video_and_the_run_folder_the_rest(tmp_path: Path) -> None:
    video = tmp_path / "made" / "mine.mp4"
    argv = [*FAST, "--quiet", "--output_dir", str(tmp_path / "outputs"), "--save_file", str(video)]
    assert run_command("generate", argv) == 0
    assert read_video(video).shape[0] == 17
    left = {path.name for path in only_run(tmp_path / "outputs").glob("[!.]*")}
    assert left == {"latents.safetensors", "run.json"}
    assert run_command("generate", argv) == 2


def test_unknown_words_get_a_notice_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*FAST[:2], "--prompt", "a red dragon moving right", *FAST[4:], "--output_dir", str(tmp_path)]
    assert run_command("generate", argv) == 0
    said = capsys.readouterr().out
    assert "does not know dragon and ignores" in said and "triangle" in said
    assert any("dragon" in notice for notice in record(only_run(tmp_path))["adjustments"])


def test_list_vocabulary() -> None:
    result = command("--task", "t2v-demo", "--list_vocabulary")
    assert result.returncode == 0
    assert {"circle", "square", "triangle", "red", "bouncing"} <= set(result.stdout.split())


@pytest.mark.parametrize("task", sorted(WAN_CONFIGS))
def test_dry_run_of_every_task_needs_neither_weights_nor_torch(task: str) -> None:
    program = (
        "import sys; from wan.cli import main as cli; code = cli.run('generate', sys.argv[1:]); "
        "heavy = {'torch', 'diffusers', 'transformers'} & set(sys.modules); sys.exit(code or len(heavy))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, "--task", task, "--dry_run"], capture_output=True, text=True, cwd=SOURCE_DIR
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") > WAN_CONFIGS[task].sample_steps
    assert "token-forwards" in result.stdout


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "--task t2v-A14B needs --ckpt_dir"),
        ([], "try the model that ships with the project"),
        (["--task", "t2v-demo", "--ckpt_dir", "nowhere"], "--ckpt_dir nowhere is not a directory"),
        (["--task", "t2v-demo", "--sample_steps", "0"], "--sample_steps 0 must be at least 1"),
        (["--task", "t2v-demo", "--device", "toaster"], "--device 'toaster' is not a device name"),
        (["--task", "t2v-demo", "--nonsense"], "unrecognized arguments"),
        (["--task", "t2v-demo", "--output_dir", "/dev/null/x"], "--output_dir /dev/null/x cannot hold results"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("generate", argv) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.startswith("generate.py: ") and captured.err.count("\n") == 1


def fail_at_the_last_step(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the run end with ``error`` at its sixth step."""

    def raise_error(self: Observer, event: StepEvent) -> None:
        if event.step.index == 5:
            raise error

    monkeypatch.setattr(NaNGuard, "on_step_end", raise_error)


def test_ctrl_c_keeps_what_was_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_at_the_last_step(KeyboardInterrupt(), monkeypatch)
    assert run_command("generate", [*FAST, "--output_dir", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    run = only_run(tmp_path)
    assert record(run)["status"] == "interrupted"
    assert "kept the latents after step 5 of 6" in captured.out
    assert "interrupted" in captured.err
    assert load_latents(run / "partial_latents.safetensors").shape == (16, 5, 8, 8)


def test_a_failed_save_is_a_failure_that_keeps_the_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def disk_full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("wan.folder_run.save_pieces", disk_full)
    assert run_command("generate", [*FAST, "--quiet", "--output_dir", str(tmp_path)]) == 1
    assert "no space left on device" in capsys.readouterr().err
    run = only_run(tmp_path)
    assert record(run)["status"] == "failed"
    assert load_latents(run / "latents.safetensors").shape == (16, 5, 8, 8)


def test_latents_are_on_disk_before_the_vae_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(self: object, latents: torch.Tensor) -> torch.Tensor:
        raise OSError("out of memory")

    monkeypatch.setattr("wan.models.vae.VideoVAE.frames", out_of_memory)
    assert run_command("generate", [*FAST, "--quiet", "--output_dir", str(tmp_path)]) == 1
    assert (only_run(tmp_path) / "latents.safetensors").is_file()


@pytest.mark.parametrize(("cache", "is_bound"), [("taylor", False), ("sea", True)])
def test_a_cache_is_priced_and_recorded(tmp_path: Path, cache: str, is_bound: bool) -> None:
    assert run_command("generate", [*FAST, "--cache", cache, "--output_dir", str(tmp_path), "--quiet"]) == 0
    content = record(only_run(tmp_path))
    forwards = content["forwards"]
    assert forwards.get("planned_is_upper_bound", False) is is_bound
    assert (forwards["executed"] == forwards["planned"]) is not is_bound or forwards["executed"] <= 12
    assert content["settings"]["cache"] == content["plan"]["cache"]["name"] == cache
    assert f"--cache {cache}" in content["command"]
    assert forwards["executed_flops"] <= content["plan"]["price"]["planned"]["flops"] * (1 + 1e-12)
