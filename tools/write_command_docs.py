"""Write docs/commands.md and the table of flags in README.md from the commands themselves; a test compares them.

python tools/write_command_docs.py
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.commands import COMMANDS, SOURCE_DIR, program
from wan.flags import Parser

NAME = "write_command_docs.py"
BEGIN, END = "<!-- flags:begin -->", "<!-- flags:end -->"
WIDTH = 100
_INTRODUCTION = """\
# The commands

Every command with its flags, as `--help` prints it. This page is written by `python tools/write_command_docs.py`.

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
    readme = SOURCE_DIR / "README.md"
    written = replace_between(readme.read_text(encoding="utf-8"), flag_table(), begin=BEGIN, end=END)
    return {SOURCE_DIR / "docs" / "commands.md": commands_page(), readme: written}


def commands_page() -> str:
    """The help of every command."""
    parts = [_INTRODUCTION]
    for name, command in COMMANDS.items():
        parts.append(f"## {name}\n\n{command.summary.capitalize()}: `{program(name)}`\n\n```text\n{help_of(name)}```\n")
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
    module = importlib.import_module(f"wan.cli.{name.replace('-', '_')}")
    parser: Parser = module.build_parser()
    return parser


def _default(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "off"
    return "-" if action.default in (None, "") else str(action.default)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
