"""``wan doctor``, ``wan convert`` and ``wan download``: output, exit codes, refusals."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.goldens import materialise
from tests.stub_hub import StubHub, serve
from wan.cli.main import run
from wan.commands import SOURCE_DIR


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise("t2v_A14B_unipc", tmp_path_factory.mktemp("official"), shards=2)


@pytest.fixture
def stub(source: Path, monkeypatch: pytest.MonkeyPatch) -> StubHub:
    return serve(source, monkeypatch)


def test_doctor_says_healthy_and_exits_0(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", ["--ckpt_dir", str(source)]) == 0
    out = capsys.readouterr().out
    assert f"{source}: official layout; 6 weight files, 1.28 MB; " in out
    assert "the model serves --task t2v-A14B" in out
    assert f"healthy: python generate.py --task t2v-A14B --ckpt_dir {source} --prompt ..." in out


def test_doctor_numbers_problems_with_their_commands_and_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = materialise("wan21_t2v_unipc", tmp_path / "with space")
    (folder / "Wan2.1_VAE.pth").unlink()
    (folder / "models_t5_umt5-xxl-enc-bf16.pth").write_bytes(b"")
    assert run("doctor", ["--ckpt_dir", str(folder), "--task", "t2v-14B"]) == 2
    out = capsys.readouterr().out
    assert "2 problems, checked for --task t2v-14B:" in out
    mend = f"     -> python tools/download_model_weights.py --task t2v-14B --layout official --output_dir '{folder}'\n"
    assert out.count(mend) == 2
    assert "  1. " in out and "  2. " in out


def test_doctor_of_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", ["--ckpt_dir", "nowhere"]) == 2
    assert "nowhere is not a directory" in capsys.readouterr().out


def test_doctor_ends_quietly_when_its_reader_has_read_enough(source: Path) -> None:
    command = f"{sys.executable} tools/doctor.py --ckpt_dir {source} | true"
    result = subprocess.run(command, shell=True, cwd=SOURCE_DIR, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""


def test_convert_then_convert_again(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [str(source), str(tmp_path / "result")]
    assert run("convert", argv) == 0
    captured = capsys.readouterr()
    assert f"{source} as t2v-A14B: 4 of 4 weight files to write, 1.20 MB, to {tmp_path / 'result'}" in captured.out
    assert "verified; python generate.py --task t2v-A14B" in captured.out
    assert "100%" in captured.err  # the progress bar
    assert run("convert", argv) == 0
    assert "0 of 4 weight files to write" in capsys.readouterr().out
    assert run("doctor", ["--ckpt_dir", argv[1]]) == 0


@pytest.mark.parametrize(
    ("name", "argv", "expected"),
    [
        ("doctor", [], "the following arguments are required: --ckpt_dir"),
        ("doctor", ["--ckpt_dir", ".", "--task", "t2v"], "argument --task: invalid choice: 't2v'"),
        ("convert", ["one"], "the following arguments are required: DST"),
        ("convert", ["nowhere", "there"], "nowhere holds no denoiser that a task here runs"),
        ("convert", ["nowhere", "there", "--task", "t2v-A14B"], "nowhere is not a directory"),
        ("download", [], "the following arguments are required: --task"),
        ("download", ["--task", "t2v-demo"], "argument --task: invalid choice: 't2v-demo'"),
        ("download", ["--task", "ti2v-5B", "--source", "ftp"], "argument --source: invalid choice: 'ftp'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    name: str, argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(name, argv)
    captured = capsys.readouterr()
    assert (code, captured.out) == (2, "")
    assert expected in captured.err and captured.err.count("\n") == 1


def test_download_dry_run_prints_names_and_sizes_and_fetches_nothing(
    stub: StubHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ckpt"
    argv = ["--task", "t2v-A14B", "--output_dir", str(folder)]
    assert run("download", [*argv, "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert f"Wan-AI/Wan2.2-T2V-A14B at 0123456789abcdef -> {folder}" in out
    assert "  fetch  546.51 kB  Wan2.1_VAE.pth\n" in out
    assert "14 files to fetch, 1.31 MB; " in out
    assert stub.fetched == [] and not folder.exists()
    assert run("download", argv) == 0
    assert "healthy: python generate.py --task t2v-A14B" in capsys.readouterr().out
    assert run("download", [*argv, "--dry_run"]) == 0
    assert "0 files to fetch, 0.00 kB" in capsys.readouterr().out


def test_download_goes_to_the_checkpoints_folder_by_default(stub: StubHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("download", ["--task", "t2v-A14B", "--dry_run"]) == 0
    assert f"-> {Path('checkpoints') / 'Wan2.2-T2V-A14B'}" in capsys.readouterr().out


def test_a_download_that_is_not_healthy_exits_2(
    stub: StubHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The repository of another task under this task's name."""
    stub.repository = materialise("i2v_A14B_unipc", tmp_path / "repository")
    assert run("download", ["--task", "t2v-A14B", "--output_dir", str(tmp_path / "ckpt")]) == 2
    assert "it fits --task i2v-A14B" in capsys.readouterr().out


def test_the_windows_file_hands_everything_to_the_python_file() -> None:
    content = (SOURCE_DIR / "tools" / "download_model_weights.bat").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n")  # what cmd.exe expects
    text = content.decode("ascii")
    assert '"%~dp0download_model_weights.py" %*' in text
    assert "exit /b %ERRORLEVEL%" in text
