"""A run by budget as a user makes it: bit-equal at 1, replayable, watched by the guard, on the shipped model."""

import json
import shlex
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import wan
from tests.planning.calibrations import EXPECTED, WIDE, write
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.loading import convert_plan
from wan.loading.layouts import checkpoint_problems, open_checkpoint
from wan.runs import checkpoint_identity
from wan.runs.latents import load_latents
from wan.sampling.plan import Seen
from wan.shortcuts import ShortcutArgs

DEMO = SOURCE_DIR / "checkpoints" / "t2v-demo"
FAST = ["--task", "t2v-demo", "--size", "32*32", "--frame_num", "9", "--base_seed", "3", "--prompt", "a red circle"]
NARROW = Seen(norm=(0.0, 1e-6), motion=(0.0, 1e-6))


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("plans") / "plans.json", 0.25, 0.5)


def generate(output_dir: Path, checkpoint: Path, *flags: str) -> tuple[Tensor, dict[str, Any]]:
    """The latents and the record of a run."""
    argv = [*FAST, "--ckpt_dir", str(checkpoint), "--output_dir", str(output_dir), *flags]
    assert run("generate", argv) == 0
    newest = max(output_dir.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    record: dict[str, Any] = json.loads((newest / "run.json").read_text(encoding="utf-8"))
    return load_latents(newest / "latents.safetensors"), record


@pytest.mark.parametrize("flags", [["--budget", "1"], ["--preset", "exact"]])
def test_the_whole_budget_is_bit_equal_to_the_plain_run(
    flags: list[str], tmp_path: Path, tiny_checkpoint: Path, plans: Path
) -> None:
    plain, _ = generate(tmp_path / "plain", tiny_checkpoint, "--sample_steps", "6")
    for number, more in enumerate(([], ["--plan", str(plans)])):
        latents, record = generate(tmp_path / str(number), tiny_checkpoint, "--sample_steps", "6", *flags, *more)
        assert torch.equal(latents, plain)
        assert record["plan"]["solver"] == "unipc" and record["plan"]["steps"][0]["update"] is None


def test_a_run_by_budget_executes_what_the_dry_run_says(
    tmp_path: Path, tiny_checkpoint: Path, plans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--plan", str(plans), "--budget", "0.5"]
    assert run("generate", [*FAST, "--ckpt_dir", str(tiny_checkpoint), *flags, "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert f"{EXPECTED.sentence()}\n" in out and "(36 clips that it was not tuned on)" in out
    assert "10 steps of fitted weights, for 20 plain ones" in out
    assert any(line.split() == ["forwards", "20", "40", "0.500"] for line in out.splitlines())
    _, record = generate(tmp_path, tiny_checkpoint, *flags)
    assert record["forwards"]["executed"] == record["forwards"]["planned"] == 20
    assert record["plan"]["price"]["fraction"]["flops"] == 0.5
    assert EXPECTED.sentence() in record["adjustments"]
    assert [len(step["update"]["denoised"]) for step in record["plan"]["steps"]] == list(range(1, 11))


@pytest.mark.parametrize("flags", [["--budget", "0.25"], ["--budget", "0.5"]])
def test_the_recorded_command_makes_the_same_latents(
    flags: list[str], tmp_path: Path, tiny_checkpoint: Path, plans: Path
) -> None:
    latents, record = generate(tmp_path / "first", tiny_checkpoint, "--plan", str(plans), *flags)
    _, door, *argv = shlex.split(record["command"])
    assert door == str(SOURCE_DIR / "generate.py") and "--plan" in argv
    argv[argv.index("--output_dir") + 1] = str(tmp_path / "again")
    assert run("generate", [*argv, "--quiet"]) == 0
    (again,) = (tmp_path / "again").iterdir()
    assert torch.equal(load_latents(again / "latents.safetensors"), latents)


def test_the_guard_speaks_once_and_is_recorded(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = write(tmp_path / "narrow.json", 0.25, seen=NARROW)
    latents, record = generate(tmp_path / "watched", tiny_checkpoint, "--plan", str(narrow))
    said = [line for line in capsys.readouterr().out.splitlines() if "may not hold for this video" in line]
    assert len(said) == 1 and said[0].startswith("step 1 (sigma ")
    assert record["adjustments"][-1] == said[0]
    silent, other = generate(
        tmp_path / "silent", tiny_checkpoint, "--plan", str(write(tmp_path / "wide.json", 0.25, seen=WIDE))
    )
    assert torch.equal(silent, latents)
    assert "may not hold" not in " ".join(other["adjustments"])


def library(checkpoint: Path, **shortcuts: Any) -> tuple[Tensor, list[str]]:
    """A video of the entry class, and what it warned of."""
    asked: ShortcutArgs = shortcuts  # type: ignore[assignment]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        video = wan.WanT2V(WAN_CONFIGS["t2v-demo"], str(checkpoint), device="cpu").generate(
            "a red circle",
            size=(32, 32),
            frame_num=9,
            shift=12.0,
            sampling_steps=20,
            guide_scale=(3.0, 4.0),
            seed=3,
            **asked,
        )
    return video, [str(one.message) for one in caught if one.category is UserWarning]


def test_the_library_warns_of_what_the_command_says(tmp_path: Path, tiny_checkpoint: Path) -> None:
    identity = checkpoint_identity(tiny_checkpoint)["id"]
    narrow = write(tmp_path / "narrow.json", 0.25, seen=NARROW, checkpoint=identity)
    _, said = library(tiny_checkpoint, plan=str(narrow))
    assert len(said) == 2
    assert "this plan was calibrated with size 64*64, frames 49" in said[0]
    assert said[1].startswith("step 1 (sigma ") and "may not hold" in said[1]
    assert library(tiny_checkpoint, budget=1.0)[1] == []
    _, uncalibrated = library(tiny_checkpoint, preset="fast")
    assert len(uncalibrated) >= 1 and uncalibrated[0].startswith("not calibrated on this checkpoint")


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def test_a_calibration_is_no_part_of_its_checkpoint(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = WAN_CONFIGS["t2v-demo"]

    def known_as() -> tuple[Any, str]:
        """By runs and calibrations, and by a conversion that continues."""
        return checkpoint_identity(copy), convert_plan._origin(open_checkpoint(config, copy), 2**30)

    before = known_as()
    write(copy / "calibration.json", 0.5)
    assert known_as() == before
    assert list(checkpoint_problems(config, copy)) == []
    assert run("doctor", ["--ckpt_dir", str(copy), "--task", "t2v-demo"]) == 0
    assert "calibration.json" not in capsys.readouterr().out


def test_a_damaged_plan_is_one_sentence_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text("{", encoding="utf-8")
    nowhere = str(tmp_path / "nowhere")
    assert run("generate", [*FAST, "--plan", str(tmp_path / "plan.json"), "--ckpt_dir", nowhere]) == 2
    error = capsys.readouterr().err
    assert f"the plans of {tmp_path / 'plan.json'} are not JSON" in error and error.count("\n") == 1


@pytest.mark.skipif(not (DEMO / "calibration.json").is_file(), reason="no calibration ships")
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_shipped_calibration_is_of_the_shipped_checkpoint(share: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", ["--task", "t2v-demo", "--prompt", "x", "--budget", f"{share}", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "another checkpoint" not in out and "carried over" not in out
    (line,) = [line for line in out.splitlines() if line.startswith("forwards")]
    assert float(line.split()[-1]) <= share


def test_an_unknown_checkpoint_is_a_sentence_with_a_plan_too(plans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--plan", str(plans), "--budget", "0.5", "--ckpt_dir", "nowhere"]
    assert run("generate", [*FAST, *flags]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
