"""The READMEs tell the truth: every file and every flag is in them, and everything in them exists."""

import re
from pathlib import Path

import pytest
from wan.options import build_parser

from wan.configs import WAN_CONFIGS

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh.md"]


@pytest.fixture(params=READMES)
def readme(request: pytest.FixtureRequest) -> str:
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_every_source_file_is_on_the_map(readme: str) -> None:
    files = [*(ROOT / "wan").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    missing = [path.relative_to(ROOT) for path in files if path.name != "__init__.py" and path.stem not in readme]
    assert not missing


def test_every_path_on_the_map_exists(readme: str) -> None:
    named = re.findall(r"\b(?:wan|tools|docs)/[\w/.-]+\.(?:py|md)|\bdocs/images/[\w.-]+", readme)
    assert len(named) > 50
    # pictures come out of a command that needs the trained demo model
    assert [name for name in named if not (ROOT / name).exists() and "images" not in name] == []


def test_every_flag_is_in_the_table(readme: str) -> None:
    visible = [action for action in build_parser()._actions if action.help != "==SUPPRESS=="]
    flags = {action.option_strings[0] for action in visible} - {"-h"}
    assert {flag for flag in flags if f"`{flag}" not in readme} == set()


def test_no_flag_is_invented(readme: str) -> None:
    known = {flag for action in build_parser()._actions for flag in action.option_strings}
    commands = re.findall(r"python generate\.py[^\n]*(?:\\\n[^\n]*)*", readme)
    used = {flag for command in commands for flag in re.findall(r"--\w+", command)}
    assert used and used <= known


def test_every_task_is_named(readme: str) -> None:
    assert [name for name in WAN_CONFIGS if name not in readme] == []
