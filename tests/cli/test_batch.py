"""``wan batch``: what it says before it begins, without torch, and every refusal before anything is made."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Refusal
from wan.cli.main import run
from wan.commands import SOURCE_DIR

DEMO = ["--task", "t2v-demo", "--sample_steps", "4"]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a red circle\na blue square\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("flags", [["--help"], ["FILE", *DEMO, "--dry_run"], ["FILE", "--dry_run"]])
def test_help_and_dry_run_import_no_heavy_library(flags: list[str], prompts: Path) -> None:
    program = (
        "import sys\nfrom wan.cli import main as cli\n"
        "try:\n    code = cli.run('batch', sys.argv[1:])\nexcept SystemExit as error:\n    code = error.code\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'matplotlib', 'ray'} & set(sys.modules)\n"
        "sys.exit(code or len(heavy))"
    )
    words = [str(prompts) if word == "FILE" else word for word in flags]
    result = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=SOURCE_DIR)
    assert result.returncode == 0, result.stderr
    assert not (prompts.parent / "batch_outputs").exists()


def test_a_dry_run_prices_all_requests_and_writes_nothing(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*DEMO, "--output_dir", str(tmp_path / "out"), "--batch_size", "2", "--dry_run"]
    assert run("batch", [str(prompts), *flags]) == 0
    said = capsys.readouterr().out
    assert "2 requests, " in said and "FLOPs in all (estimate), 1.000 of plain runs" in said
    assert "dearest: line 2, " in said and "shared forwards: 1 instead of 2 runs" in said
    assert not (tmp_path / "out").exists()


def test_faulty_lines_are_all_named_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a"}\n{"promt": "b"}\n{"prompt": "c", "seed": -3}\n', encoding="utf-8")
    for flags in ([], ["--dry_run"]):
        assert run("batch", [str(path), *DEMO, "--output_dir", str(tmp_path / "out"), *flags]) == 2
        error = capsys.readouterr().err.splitlines()
        assert error[0].endswith(f"{path} has 2 lines that no video can be made of; nothing was made:")
        assert error[1].startswith("  line 2: ") and error[2].startswith("  line 3: ") and len(error) == 3
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--batch_size", "0"], "--batch_size 0 must be at least 1"),
        (["--batch_size", "1000"], "--batch_size 1000 must be at most 32"),
        (["--retries", "-1"], "--retries -1 must be from 0 to 100"),
        (["--lease", "1"], "--lease 1 must be from 2 to 86400 seconds"),
        (["--lease", "nan"], "nan is not a finite number"),
        (["--workers", "2"], "--workers is for --engine ray; with --engine local each command is one worker"),
        (["--engine", "slurm"], "invalid choice: 'slurm'"),
        (["--save_file", "a.mp4"], "unrecognized arguments: --save_file a.mp4"),
        (["--sample_steps", "0"], "--sample_steps 0 must be at least 1"),
    ],
)
def test_what_no_batch_can_have_is_refused(
    flags: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a red circle\n", encoding="utf-8")
    assert run("batch", [str(path), "--task", "t2v-demo", "--output_dir", str(tmp_path / "out"), *flags]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_one_sentence(refusal: Refusal) -> None:
    assert "nowhere.txt cannot be read as UTF-8 text" in refusal("batch", ["nowhere.txt", *DEMO])


def test_a_missing_checkpoint_is_named_before_anything_is_made(
    prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("batch", [str(prompts), "--output_dir", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2 and error[1].startswith("  lines 1, 2: ") and "--ckpt_dir" in error[1]
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused(prompts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("batch", [str(prompts), *DEMO, "--output_dir", str(prompts / "out")]) == 2
    assert f"--output_dir {prompts / 'out'} cannot hold results" in capsys.readouterr().err
