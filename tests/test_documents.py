"""The documents tell the truth: the source map is whole, links lead somewhere, flags and commands are the real ones."""

import re
import sys
from pathlib import Path

import pytest

import write_docs
from wan.cli.generate import build_parser
from wan.commands import COMMANDS
from wan.configs import WAN_CONFIGS

ROOT = Path(__file__).parents[1]
READMES = ["README.md", "README.zh.md"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MAP = "docs/design.md"


@pytest.fixture(params=READMES)
def readme(request: pytest.FixtureRequest) -> str:
    return (ROOT / request.param).read_text(encoding="utf-8")


def test_every_source_file_is_on_the_map() -> None:
    text = (ROOT / MAP).read_text(encoding="utf-8")
    folders = ("wan", "tools", "examples")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"]
    missing = [path.relative_to(ROOT).as_posix() for path in files if not re.search(rf"\b{path.stem}\b", text)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
    if page.name in ("CHANGELOG.md", "LOG.md") or page.stem.startswith("founding-documents"):
        return  # they also name what is gone, or what others had
    named = re.findall(r"(?<![\w/.-])(?:wan|tools|docs|examples)/[\w/.-]+\.(?:py|md|yaml|png|webp)", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse prints help in another form from Python 3.13 on")
def test_the_generated_documents_are_the_commands_own() -> None:
    changed = [path.name for path, text in write_docs.documents().items() if path.read_text("utf-8") != text]
    assert changed == [], "run `python tools/write_docs.py`"


def test_every_flag_is_in_the_readme(readme: str) -> None:
    visible = [action for action in build_parser()._actions if action.help != "==SUPPRESS=="]
    flags = {action.option_strings[0] for action in visible} - {"-h"}
    assert {flag for flag in flags if f"`{flag}" not in readme} == set()


def test_every_task_and_every_unsupported_official_flag_is_named(readme: str) -> None:
    assert [name for name in WAN_CONFIGS if name not in readme] == []
    assert [flag for flag in ("ulysses_size", "dit_fsdp", "t5_fsdp", "use_prompt_extend") if flag not in readme] == []


def test_every_command_has_its_door_in_the_usage_or_command_page() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"\n## {name}\n" not in text] == []


def test_the_founding_documents_are_not_called_seeds() -> None:
    """Seeds are random numbers here."""
    collisions = re.compile(r"\bthe seeds'|the seeds\b(?! of)|\bseeds' documents|\bSeeds'")
    files = [*PAGES, *(p for folder in ("wan", "tools", "examples", "tests") for p in (ROOT / folder).rglob("*.py"))]
    found = {
        path.relative_to(ROOT).as_posix(): hits
        for path in files
        if path != Path(__file__) and (hits := collisions.findall(path.read_text(encoding="utf-8")))
    }
    assert found == {}
