"""English and Chinese pages agree: commands, tables, anchors, the glossary's words, and reading before tables."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

from wan.commands import COMMANDS, module_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
CHINESE = sorted(DOCS.glob("*.zh.md"))
MEASURED = re.compile(r"<!-- measured:begin -->.*<!-- measured:end -->", re.DOTALL)
DOORS = {command.door: name for name, command in COMMANDS.items()}
# what a Chinese sentence must not say, and the glossary's word for it
NOT_IN_CHINESE = {
    "CFG 截断": "CFG截断",
    "CFG 差异": "CFG差异",
    "帧数减半": "帧截断",
    "前向": "前传",
    "latent 帧": "潜变量帧",
    "归一化 L2": "归一化L2距离",
    "原文档": "创始文档",
    "加速方法": "捷径",
}


def named(page: Path) -> str:
    return page.name


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh.md", ".md"))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """Lines of code blocks, without the comment behind a command."""
    lines = [line[4:] for line in text.splitlines() if re.match(r"    \S", line)]
    return [re.split(r"\s+#\s", line)[0].strip() for line in lines]


def commands(text: str) -> list[str]:
    return [line for line in blocks(text.replace("\\\n", " ")) if re.match(r"(python|pip|make|hf|py|\.) ?", line)]


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def without_free_text(command: str) -> str:
    """A command without its prompt, which each language writes in its own words."""
    return re.sub(r'--prompt "[^"]*"', "--prompt", command)


@pytest.mark.parametrize("page", CHINESE, ids=named)
def test_a_chinese_page_has_the_commands_of_the_english_one(page: Path) -> None:
    pair = [[without_free_text(command) for command in commands(read(one))] for one in (page, english(page))]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("page", CHINESE, ids=named)
def test_a_chinese_page_has_as_many_sections_and_table_rows(page: Path) -> None:
    chinese, original = (MEASURED.sub("", read(one)) for one in (page, english(page)))
    assert len(slugs(chinese)) == len(slugs(original))
    assert chinese.count("\n|") == original.count("\n|")


@pytest.mark.parametrize("page", CHINESE, ids=named)
def test_a_chinese_page_uses_the_words_of_the_glossary(page: Path) -> None:
    text = MEASURED.sub("", read(page))
    assert {word: right for word, right in NOT_IN_CHINESE.items() if word in text} == {}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_anchor_leads_to_a_heading(page: Path) -> None:
    text = read(page)
    links = [link.partition("#") for link in re.findall(r"\]\(([^)\s]*#[^)\s]+)\)", text) if "://" not in link]
    targets = [((page.parent / name).resolve() if name else page, anchor) for name, _, anchor in links]
    assert [anchor for target, anchor in targets if anchor not in slugs(read(target))] == []


@pytest.mark.parametrize("page", [page for page in PAGES if MEASURED.search(read(page))], ids=named)
def test_reading_comes_before_measured_tables(page: Path) -> None:
    before = MEASURED.split(read(page))[0]
    assert re.search(r"^#+ (Reading|解读)$", before, flags=re.MULTILINE)


def test_the_hardware_table_is_the_same_in_both_languages() -> None:
    rows = [
        re.findall(r"^\| \S+ \| \d+\*\d+, \d+ \|.*$", read(DOCS / name), flags=re.MULTILINE)
        for name in ("usage.md", "usage.zh.md")
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 8


def test_the_hardware_program_compiles() -> None:
    program = re.search(r"```python\n(.*?)```", read(DOCS / "hardware.md"), flags=re.DOTALL)
    assert program
    compile(program[1], "hardware.md", "exec")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "commands.md"], ids=named)
def test_every_command_of_a_page_has_flags_that_exist(page: Path) -> None:
    for command in commands(read(page)):
        program, *words = shlex.split(command.replace("\\", "/"))[1:] or [""]
        name = DOORS.get(program, "")
        if words and f"{name} {words[0]}" in COMMANDS:
            name = f"{name} {words.pop(0)}"
        if command.startswith("python ") and name and "--help" not in words:
            module = importlib.import_module(module_of(name))
            module.build_parser().parse_args(words)


@pytest.mark.parametrize("name", ["founding-documents.md", "founding-documents.zh.md"])
def test_what_a_founding_name_became_exists(name: str) -> None:
    rows = [line.split(" | ", 1)[1] for line in read(DOCS / name).splitlines() if line.startswith("| ")]
    paths = [path for row in rows for path in re.findall(r"(?<![\w/.-])(?:wan|tools)/[\w/.-]+\.(?:py|bat)", row)]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert len(paths) > 20
