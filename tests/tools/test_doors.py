"""The founding files run the package's commands, from any folder, without installing it."""

import subprocess
import sys
from pathlib import Path

import pytest

import door
from wan.commands import COMMANDS, SOURCE_DIR


def test_only_what_came_after_the_founding_commands_has_no_door() -> None:
    assert [name for name, command in COMMANDS.items() if command.door is None] == [
        "batch",
        "serve",
        "extend",
        "decode",
        "tune",
    ]


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.door is not None])
def test_every_command_has_its_door(name: str) -> None:
    door = COMMANDS[name].door
    assert door is not None
    # a command of a command (bench arena) goes through the door of that one
    path, name = door.split()[0], name.split()[0]
    text = (SOURCE_DIR / path).read_text(encoding="utf-8")
    call = f'run("{name}", sys.argv[1:])' if name == "generate" else f'open_door("{name}")'
    assert text.count(call) == 1 and 'if __name__ == "__main__":' in text


@pytest.mark.parametrize(
    ("path", "flags", "sentence"),
    [
        ("tools/report.py", ["--output", "page.pdf"], "report.py: --output page.pdf must end in .html\n"),
        (
            "tools/analyze_continuity_simple.py",
            ["--shift", "0"],
            "analyze_continuity_simple.py: --shift 0 must be greater than 0\n",
        ),
        ("tools/train_demo_model.py", [], "train_demo_model.py: the following arguments are required: --work_dir"),
    ],
)
def test_a_door_opens_from_any_folder(path: str, flags: list[str], sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SOURCE_DIR / path), *flags]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1


def test_a_package_that_a_tool_misses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Where its imports stop, before there is anything that could explain it."""
    error = ModuleNotFoundError("No module named 'torch'", name="torch")
    door._explain_missing_package(ModuleNotFoundError, error, None)
    said = capsys.readouterr().err
    assert said.startswith("the Python package torch is not installed here") and said.count("\n") == 1
