"""``wan tune``: what it says before it begins, without torch, and every refusal in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Refusal
from wan.cli.main import run
from wan.commands import SOURCE_DIR

DEMO = ["--task", "t2v-demo"]


@pytest.mark.parametrize(
    "flags",
    [["--help"], ["--dry_run"], ["--dry_run", "--task", "t2v-A14B"], ["--dry_run", "--task", "i2v-A14B"]],
)
def test_help_and_dry_run_import_no_heavy_library(flags: list[str]) -> None:
    program = (
        "import sys\nfrom wan.cli import main as cli\n"
        "try:\n    code = cli.run('tune', sys.argv[1:])\nexcept SystemExit as error:\n    code = error.code\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or len(heavy))"
    )
    command = [sys.executable, "-c", program, *flags]
    result = subprocess.run(command, capture_output=True, text=True, cwd=SOURCE_DIR)
    assert result.returncode == 0, result.stderr


def test_a_dry_run_says_the_cost_and_loads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tune", ["--task", "t2v-A14B", "--budgets", "0.5", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "as many as 32 plain videos" in out and "on one H100" in out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--budgets", "0"], "--budgets 0 must be above 0 and below 1"),
        (["--budgets", "1"], "--budgets 1 must be above 0 and below 1 (1 is the plain run and needs no plan)"),
        (["--budgets", "nan"], "nan is not a finite number"),
        (
            ["--budgets", "0.5", "0.1"],
            "--budgets 0.1 of 20 steps pays for 2, and a plan needs at least 3; give at",
        ),
        (["--budgets", "half"], "invalid float value: 'half'"),
        (["--sample_guide_scale", "1"], "--sample_guide_scale 1 leaves one guidance pass"),
        (["--sample_guide_scale", "1", "4"], "--sample_guide_scale 1 leaves one guidance pass"),
        (["--sample_steps", "4", "--sample_shift", "90"], "--sample_steps 4 at --sample_shift 90 use only one expert"),
        (["--clips", "0"], "--clips 0 must be at least 1"),
        (["--trials", "0"], "--trials 0 must be at least 1"),
        (["--threads", "-2"], "--threads -2 must be at least 1"),
        (["--clips", "2000"], "2000 clips are more than the 918 that the demo model has other captions for"),
        (["--prompts", "nowhere.txt"], "--prompts nowhere.txt cannot be read as UTF-8 text"),
        (["--task", "t2v-A14B", "--clips", "20"], "the list of prompts that comes with wan tune holds 24 different"),
        (["--budget", "0.5"], "unrecognized arguments: --budget 0.5; did you mean --budgets?"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_cannot_be_tuned_is_one_sentence(flags: list[str], sentence: str, dry_run: bool, refusal: Refusal) -> None:
    task = [] if "--task" in flags else DEMO
    if not dry_run and "t2v-A14B" in flags:
        sentence = "needs --ckpt_dir"
    assert sentence in refusal("tune", [*task, *flags, *(["--dry_run"] if dry_run else [])])


def test_too_few_prompts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a dog\na cat\n", encoding="utf-8")
    assert run("tune", [*DEMO, "--prompts", str(path), "--clips", "2", "--dry_run"]) == 2
    assert f"--prompts {path} holds 2 different prompts; 2 for tuning and as many" in capsys.readouterr().err


def test_a_calibration_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "calibration.json"
    path.write_text("mine", encoding="utf-8")
    assert run("tune", [*DEMO, "--output", str(path), "--work_dir", str(tmp_path / "work")]) == 2
    assert f"--output {path} exists" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine" and not (tmp_path / "work").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*DEMO, "--overwrite", "--work_dir", str(tmp_path / "work")]
    assert run("tune", [*flags, "--output", str(tmp_path)]) == 2

    def forbidden(*, dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wan.runs.writable.tempfile.TemporaryFile", forbidden)
    assert run("tune", [*flags, "--output", str(tmp_path / "new" / "calibration.json")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "cannot be written (it is a folder); give a file in a folder that you may write to" in errors[0]
    assert "cannot be written (Permission denied); give a file" in errors[1]
    assert len(errors) == 2 and not (tmp_path / "work").exists()
