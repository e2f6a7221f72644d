"""Write what documents say of the source: docs/commands.md, README's flags, the source map; a test compares them.

python tools/write_docs.py
"""

import argparse
import ast
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.commands import COMMANDS, SOURCE_DIR, module_of, program
from wan.flags import Parser

NAME = "write_docs.py"
FLAGS = ("<!-- flags:begin -->", "<!-- flags:end -->")
MAP = ("<!-- map:begin -->", "<!-- map:end -->")
FOLDERS = ("wan", "tools", "examples")
WIDTH = 100
_INTRODUCTION = """\
# The commands

Every command with its flags, as `--help` prints it. This page is written by `python tools/write_docs.py`.

In a clone the commands are the founding ones shown here, and `python -m wan NAME` from the project's root is the same
as each of them. Where the package is installed they are `wan NAME`.
"""


def main(argv: Sequence[str]) -> None:
    tool_parser(NAME, __doc__).parse_args(argv)
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")


def documents() -> Mapping[Path, str]:
    """Every generated document with what it should hold."""
    readme, design = SOURCE_DIR / "README.md", SOURCE_DIR / "docs" / "design.md"
    return {
        SOURCE_DIR / "docs" / "commands.md": commands_page(),
        readme: replace_between(readme.read_text(encoding="utf-8"), flag_table(), begin=FLAGS[0], end=FLAGS[1]),
        design: replace_between(design.read_text(encoding="utf-8"), source_map(), begin=MAP[0], end=MAP[1]),
    }


def commands_page() -> str:
    """The help of every command."""
    parts = [_INTRODUCTION]
    for name, command in COMMANDS.items():
        what = f"{command.summary[0].upper()}{command.summary[1:]}"
        parts.append(f"## {name}\n\n{what}: `{program(name)}`\n\n```text\n{help_of(name)}```\n")
    return "\n".join(parts)


def flag_table() -> str:
    """A row for every flag of ``generate``: its spellings, its default and what it means."""
    lines = ["| flag | default | meaning |", "|---|---|---|"]
    groups = parser_of("generate")._action_groups
    for action in (action for group in groups for action in group._group_actions):
        if action.help == argparse.SUPPRESS or action.dest == "help":
            continue
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        meaning = str(action.help).replace(" (%(default)s)", "")
        choices = f" ({', '.join(action.choices)})" if action.choices and len(tuple(action.choices)) < 8 else ""
        lines.append(f"| {names} | {_default(action)} | {meaning}{choices} |".replace("W*H", "W\\*H"))
    return "\n".join(lines)


def source_map() -> str:
    """Every source file with the first line of its docstring, folder by folder."""
    parts = []
    for folder in FOLDERS:
        places = sorted({path.parent for path in (SOURCE_DIR / folder).rglob("*.py")})
        for place in places:
            files = [path for path in sorted(place.glob("*.py")) if path.name != "__init__.py"]
            name = place.relative_to(SOURCE_DIR).as_posix()
            lines = [f"| `{path.name}` | {_first_line(path)} |" for path in files]
            about = f" - {_first_line(place / '__init__.py')}" if (place / "__init__.py").is_file() else ""
            parts.append("\n".join([f"**{name}/**{about}", "", "| file | what it is for |", "|---|---|", *lines]))
    return "\n\n".join(parts)


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0].replace("``", "`")


def help_of(name: str) -> str:
    """``--help`` at a fixed width."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        return parser_of(name).format_help()
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def parser_of(name: str) -> Parser:
    """A command's parser."""
    module = importlib.import_module(module_of(name))
    parser: Parser = module.build_parser()
    return parser


def _default(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "off"
    return "-" if action.default in (None, "") else str(action.default)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
