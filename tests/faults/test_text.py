"""No text ends a run: prompts and paths that are not UTF-8, NUL, terminals of other encodings, readers that go away."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wan
from tests.faults.conftest import TINY, Make, Refused
from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.console import LastingFile
from wan.errors import InvalidInput
from wan.runs.folders import MAX_NAME_BYTES, create_run_directory, prompt_slug
from wan.runs.latents import save_latents
from wan.runs.video import write_image
from wan.texts import MAX_PROMPT, checked_prompt, path_of, prompts_from_file

LATIN1 = os.fsdecode(b"caf\xe9 cat")
DEMO = ("--task", "t2v-demo", "--sample_steps", "1", "--frame_num", "5")


@pytest.mark.parametrize("flag", ["--prompt", "--negative_prompt", "--save_file", "--output_dir", "--ckpt_dir"])
@pytest.mark.parametrize("end", [(), ("--dry_run",)])
def test_generate_refuses_text_that_is_not_utf8(refused: Refused, flag: str, end: tuple[str, ...]) -> None:
    assert "is not valid UTF-8" in refused("generate", *DEMO, flag, LATIN1, *end)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("compare", ["--prompt", "a cat", LATIN1]),
        ("compare", ["--from_runs", LATIN1, "b"]),
        ("continuity", ["--prompt", LATIN1]),
        ("continuity", ["--from_run", LATIN1]),
        ("continuity-demo", ["--output_dir", LATIN1]),
        ("bench", ["--output", LATIN1]),
        ("bench", ["--variant", f"--prompt '{LATIN1}'"]),
        ("bench arena", ["--suite", LATIN1]),
        ("tune", ["--negative_prompt", LATIN1]),
        ("tune", ["--prompts", LATIN1]),
        ("report", [LATIN1]),
        ("doctor", ["--ckpt_dir", LATIN1]),
        ("convert", [LATIN1, "there"]),
        ("download", ["--task", "t2v-A14B", "--output_dir", LATIN1]),
        ("download", ["--task", "t2v-A14B", "--revision", LATIN1]),
    ],
)
def test_every_command_refuses_text_that_is_not_utf8(refused: Refused, command: str, flags: list[str]) -> None:
    assert "UTF-8" in refused(command, *flags)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("generate", ["--prompt", "a\0b"]),
        ("generate", ["--output_dir", "a\0b"]),
        ("compare", ["--prompt", "a\0b"]),
        ("continuity", ["--from_run", "a\0b"]),
        ("bench", ["--output", "a\0b"]),
        ("bench arena", ["--suite", "a\0b"]),
        ("tune", ["--work_dir", "a\0b"]),
        ("report", ["a\0b"]),
        ("doctor", ["--ckpt_dir", "a\0b"]),
        ("convert", ["a\0b", "c"]),
    ],
)
def test_nul_is_refused(refused: Refused, command: str, flags: list[str]) -> None:
    assert "has a NUL character" in refused(command, *flags)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a cat\na d\0og\n", "line 2: 'a d\\x00og' has a NUL character"),
        (b"caf\xe9\n", "cannot be read as UTF-8 text"),
        (b"\xed\xa0\x80\n", "cannot be read as UTF-8 text"),
        (b"x" * 10**6, "has 1,000,000 characters, and 20,000 are the most"),
        (b"# nothing\n\n", "holds no prompt"),
        (None, "is not a file"),
    ],
)
def test_prompt_files_are_checked_line_by_line(
    tmp_path: Path, refused: Refused, content: bytes | None, said: str
) -> None:
    path = tmp_path / "prompts.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    for command, flag in (("compare", "--prompt_file"), ("tune", "--prompts")):
        for end in ([], ["--dry_run"]):
            sentence = refused(command, flag, str(path), *end)
            assert said in sentence or (command == "tune" and "holds 0 different prompts" in sentence)


def test_a_prompt_file_keeps_every_script(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeff一只猫\n# no\n  ein Kätzchen \n\n😀\n", encoding="utf-8")
    assert prompts_from_file(path, name="--prompt_file") == ["一只猫", "ein Kätzchen", "😀"]


def test_utf8_that_the_locale_could_not_read_is_read() -> None:
    """Where the locale is ASCII, Python hands valid UTF-8 over as surrogates."""
    assert checked_prompt("一只猫".encode().decode("ascii", errors="surrogateescape"), name="--prompt") == "一只猫"


@pytest.mark.parametrize("text", ["\ud83d", "caf\udce9", "x" * (MAX_PROMPT + 1), "a\0b", 7])
def test_the_python_interface_refuses_the_same_texts(text: object, tiny_checkpoint: Path) -> None:
    pipeline = wan.WanT2V(WAN_CONFIGS["t2v-demo"], str(tiny_checkpoint))
    for argument in ("input_prompt", "n_prompt"):
        with pytest.raises(InvalidInput, match=f"^{argument} "):
            pipeline.generate(**{"input_prompt": "cat", argument: text}, size=(32, 32), frame_num=5, sampling_steps=1)


@pytest.mark.parametrize("text", ["x" * 256, "a/" * 2100])
def test_paths_that_no_file_system_has_are_refused(refused: Refused, text: str) -> None:
    assert "is too long" in refused("generate", *DEMO, "--save_file", f"{text}.mp4")
    assert path_of("x" * 255) == Path("x" * 255)


def test_records_hold_what_is_not_utf8(tmp_path: Path) -> None:
    """The folder of the program may have such a name: the command that is recorded then has it, too."""
    torch = pytest.importorskip("torch")
    save_latents(tmp_path / "a.safetensors", torch.zeros(1, 1, 1, 1), metadata={"command": LATIN1})
    write_image(tmp_path / "a.png", torch.zeros(3, 1, 8, 8), metadata={"command": LATIN1})
    assert b"caf\\udce9 cat" in (tmp_path / "a.safetensors").read_bytes().replace(b"\\\\", b"\\")
    assert (tmp_path / "a.png").is_file()


def test_folder_names_come_from_any_prompt(tmp_path: Path) -> None:
    from datetime import datetime

    for prompt in ("一只猫" * 3000, "\udce9" * 9, "../../etc", "\n\t", "😀" * 99, "a\u202eb"):
        folder = create_run_directory(tmp_path, task="t2v-demo", prompt=prompt, now=datetime(2026, 1, 1))
        assert folder.parent == tmp_path and len(os.fsencode(folder.name)) <= MAX_NAME_BYTES
    assert prompt_slug("\udce9") == "untitled"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_terminal_that_lacks_a_letter_ends_no_run(
    encoding: str, make: Make, t2v: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    made = make(t2v, "t2v-A14B", "--prompt", "一只猫")
    assert made.record["status"] == "finished" and made.record["prompt"] == "一只猫"
    narrow.flush()
    assert "\\u4e00\\u53ea\\u732b" in narrow.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def command(*argv: str, **how: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *argv], cwd=SOURCE_DIR, stderr=subprocess.PIPE, **how)  # type: ignore[call-overload,no-any-return]


def test_a_run_goes_on_when_nobody_reads_any_more(t2v: Path, tmp_path: Path) -> None:
    flags = ("--task", "t2v-A14B", "--ckpt_dir", str(t2v), *TINY, "--prompt", "cat", "--output_dir", str(tmp_path))
    with command("-u", "generate.py", *flags, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(timeout=120) == 0
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["status"] == "finished"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_behind_standard_output_is_said_at_the_end() -> None:
    with Path("/dev/full").open("wb") as full, command("-m", "wan", "--version", stdout=full) as process:
        assert process.stderr is not None
        error = process.stderr.read().decode()
        assert process.wait(timeout=60) == 1
    assert error == "wan: failed: standard output cannot be written (No space left on device)\n"


def test_a_closed_standard_output_is_no_error() -> None:
    program = f"{sys.executable} -m wan --version >&-"
    done = subprocess.run(program, shell=True, cwd=SOURCE_DIR, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_cannot_be_written_counts_as_written(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with LastingFile(writer, "w") as file:
        assert file.write(b"12345") == 5 and file.failure is None


def test_the_plainest_locale_makes_a_video(t2v: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    flags = ("--task", "t2v-A14B", "--ckpt_dir", str(t2v), *TINY, "--prompt", "一只猫", "--output_dir", str(tmp_path))
    with command("generate.py", *flags, stdout=subprocess.DEVNULL, env=environment) as process:
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(timeout=120) == 0
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["prompt"] == "一只猫"
