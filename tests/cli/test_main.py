"""``wan`` itself: finding commands, and every error as one sentence with its exit code."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import wan
from wan.cli import main as command
from wan.cli.main import explained, main, run
from wan.commands import COMMANDS, SOURCE_DIR, program
from wan.errors import CheckpointError, InvalidInput, NumericalError, OutOfMemory, WanError


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: wan COMMAND ..."
    for name, one in COMMANDS.items():
        assert any(line.split() == [*name.split(), *one.summary.split()] for line in lines), name


def test_no_command_is_help_and_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"]) == 0
    asked = capsys.readouterr().out
    assert main([]) == 2
    assert capsys.readouterr().out == asked


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"wan {wan.__version__}\n"


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("compar", "did you mean compare?"),
        ("continuity_demo", "did you mean continuity-demo?"),
        ("docter", "did you mean doctor?"),
        ("xyz", f"choose one of {', '.join(COMMANDS)}"),
    ],
)
def test_an_unknown_command_is_one_sentence(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"wan: {word!r} is not a command; {hint}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_the_name_that_its_reader_uses(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {program(name)} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--nonsense"]) == 2
    captured = capsys.readouterr()
    called = program(name)
    assert captured.out == "" and called.startswith("python ")
    own = f"wan {name}" if COMMANDS[name].door is None else Path(called.removeprefix("python ")).name
    assert captured.err.startswith(f"{own}: ") and captured.err.count("\n") == 1
    assert captured.err.endswith(f"(see `{called} --help`)\n")


def test_outside_of_a_clone_sentences_name_the_installed_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wan.commands.in_clone", lambda: False)
    assert main(["continuity-demo", "--shift", "0"]) == 2
    assert capsys.readouterr().err.startswith("wan continuity-demo: --shift 0 must be")


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let ``wan doctor`` and ``wan convert`` end with an error."""

    def serve(error: BaseException) -> None:
        def fail(argv: list[str]) -> None:
            raise error

        for name in ("doctor", "convert", "generate", "download"):
            monkeypatch.setitem(sys.modules, f"wan.cli.{name}", SimpleNamespace(main=fail))

    return serve


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InvalidInput("no"), 2, "doctor.py: no"),
        (CheckpointError("no"), 2, "doctor.py: no"),
        (WanError("no"), 1, "doctor.py: failed: no"),
        (OutOfMemory("no"), 1, "doctor.py: failed: no"),
        (NumericalError("no"), 1, "doctor.py: failed: no"),
        (OSError("no"), 1, "doctor.py: failed: no"),
        (KeyboardInterrupt(), 1, "doctor.py: interrupted; what was finished stays on disk"),
    ],
)
def test_every_error_is_a_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    sentence: str,
    stub: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stub(error)
    assert run("doctor", []) == code
    assert capsys.readouterr().err == f"{sentence}\n"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("generate", "generate.py: interrupted; what was computed is in the run folder, and --resume goes on with it"),
        ("convert", "convert_checkpoint.py: interrupted; the same command continues"),
        ("download", "download_model_weights.py: interrupted; the same command resumes"),
    ],
)
def test_ctrl_c_says_what_is_left(
    name: str, sentence: str, stub: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stub(KeyboardInterrupt())
    assert run(name, []) == 1
    assert capsys.readouterr().err == f"{sentence}\n"


def test_a_defect_is_not_hidden(stub: Callable[[BaseException], None]) -> None:
    for error in (TypeError("defect"), ModuleNotFoundError("defect", name="wan.absent"), ModuleNotFoundError("defect")):
        stub(error)
        with pytest.raises(type(error), match="defect"):
            run("doctor", [])


@pytest.mark.parametrize("package", ["matplotlib", "skimage"])
def test_a_missing_package_is_named_with_what_installs_it(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it really stops: at the import of the command, in an environment without the package."""
    module = ModuleType("wan.cli.report")

    def import_it(argv: list[str]) -> None:
        importlib.import_module(package)

    module.main = import_it  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wan.cli.report", module)
    monkeypatch.setitem(sys.modules, package, None)  # an import of it raises ModuleNotFoundError
    assert run("report", []) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"report.py: the Python package {package} is not installed here ({sys.executable}); run `")
    assert "pip install -r requirements.txt" in error and error.count("\n") == 1


def test_a_missing_submodule_is_named_by_what_is_missing(
    stub: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    stub(ModuleNotFoundError("No module named 'wanderer.tools'", name="wanderer.tools"))
    assert run("doctor", []) == 2
    assert "the Python package wanderer.tools is not installed here" in capsys.readouterr().err


def test_a_missing_package_outside_of_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "or activate the environment that has it" in command.missing_package("torch")
    monkeypatch.setattr(command, "in_clone", lambda: False)
    assert "activate" not in command.missing_package("torch")


def test_the_exit_code_of_a_call_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained("x", lambda: None, interrupted="") == 0
    assert explained("x", lambda: 2, interrupted="") == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("argv", [["-m", "wan", "--help"], ["tools/report.py", "--help"]])
def test_a_reader_that_has_read_enough_ends_a_command_quietly(argv: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, *argv], cwd=SOURCE_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0


def test_help_and_dry_runs_wait_for_no_library_that_takes_seconds() -> None:
    lines = [*([*name.split(), "--help"] for name in COMMANDS)]
    lines += [["generate", "--dry_run"], ["compare", "--dry_run"], ["bench", "arena", "--dry_run"]]
    script = (
        "import sys\n"
        "from wan.cli.main import main\n"
        f"for line in {lines!r}:\n"
        "    try:\n"
        "        assert main(line) == 0, line\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0, line\n"
        "    slow = {'torch', 'diffusers', 'transformers', 'skimage', 'matplotlib', 'imageio'} & set(sys.modules)\n"
        "    assert not slow, (line, slow)\n"
    )
    # from the root, where the package is found without being installed
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=SOURCE_DIR)
    assert ended.returncode == 0, ended.stderr
