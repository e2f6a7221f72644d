"""Runs one command of the package, or one tool, from a clone: from any folder, without installing the package."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan.cli.main import explained, missing_package, run
from wan.flags import Parser


def open_door(name: str) -> None:
    """Run ``wan NAME`` with the flags of this process, and end the process with its exit code."""
    sys.exit(run(name, sys.argv[1:]))


def run_tool(
    name: str, main: Callable[[Sequence[str]], int | None], *, interrupted: str = "what was finished stays on disk"
) -> int:
    """Run a tool of this repository with the flags of this process; what goes wrong is said as for every command."""
    return explained(name, lambda: main(sys.argv[1:]), interrupted=interrupted)


def tool_parser(name: str, description: str | None) -> Parser:
    """A parser that reports mistakes as every command does."""
    formatter = argparse.RawDescriptionHelpFormatter
    return Parser(prog=f"python tools/{name}", description=description, formatter_class=formatter, allow_abbrev=False)


def _explain_missing_package(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, ModuleNotFoundError) and error.name:
        print(missing_package(error.name), file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _explain_missing_package
