"""The founding commands after `pip install -r requirements.txt` alone: from any folder, the package not installed."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from wan.commands import COMMANDS

ROOT = Path(__file__).parents[1]
DOORS = sorted({command.door.split()[0] for command in COMMANDS.values() if command.door})
KEPT_TOOLS = sorted(
    f"tools/{path.name}"
    for path in (ROOT / "tools").glob("*.py")
    if f"tools/{path.name}" not in DOORS and path.name != "door.py"
)


def environment(folder: Path, *, with_dependencies: bool) -> Path:
    """The interpreter of a new environment that has this one's dependencies, or nothing, and never the package."""
    venv.create(folder, with_pip=False)
    if with_dependencies:
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        # a line of a .pth file is put on the path as it is: the editable install behind it stays unseen
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(python: Path, cwd: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [str(python), *argv]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("requirements"), with_dependencies=True)


def test_every_founding_tool_is_a_door() -> None:
    assert [door for door in DOORS if not (ROOT / door).is_file()] == []
    long = {door: len((ROOT / door).read_text("utf-8").splitlines()) for door in DOORS}
    assert max(long.values()) <= 25


@pytest.mark.parametrize("door", ["generate.py", "tools/doctor.py", "tools/compare_cfg_baseline.py"])
def test_a_door_opens_from_another_folder(python: Path, tmp_path: Path, door: str) -> None:
    done = run(python, tmp_path, str(ROOT / door), "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python {door} ")


def test_a_kept_tool_opens_from_another_folder(python: Path, tmp_path: Path) -> None:
    done = run(python, tmp_path, str(ROOT / "tools" / "measure_shortcuts.py"), "--help")
    assert done.returncode == 0 and "--suite" in done.stdout, done.stderr


def test_the_module_runs_from_the_root_and_the_demo_from_anywhere(python: Path, tmp_path: Path) -> None:
    assert "compare shortcuts" in run(python, ROOT, "-m", "wan", "--help").stdout
    done = run(python, tmp_path, str(ROOT / "generate.py"), "--task", "t2v-demo", "--dry_run")
    assert done.returncode == 0 and "token-forwards" in done.stdout


@pytest.mark.parametrize("tool", KEPT_TOOLS)
def test_every_kept_tool_puts_the_clone_on_the_path_before_it_imports_the_package(tool: str) -> None:
    lines = [line for line in (ROOT / tool).read_text("utf-8").splitlines() if line.startswith(("import ", "from "))]
    own = [line for line in lines if line.split()[1].split(".")[0] in ("door", "wan", "claims", "demo_model", "memory")]
    assert not own or own[0].startswith("from door import")


@pytest.mark.parametrize(
    ("argv", "code"),
    [(["generate.py", "--dry_run"], 2), (["tools/doctor.py", "--help"], 2), (["-m", "wan", "doctor"], 2)],
)
def test_a_missing_dependency_is_one_sentence(tmp_path: Path, argv: list[str], code: int) -> None:
    bare = environment(tmp_path / "bare", with_dependencies=False)
    done = run(bare, ROOT, *argv)
    assert done.returncode == code and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "is not installed" in done.stderr and "pip install -r requirements.txt" in done.stderr
