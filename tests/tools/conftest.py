"""Tools draw many figures: here they are drafts. Their mistakes are sentences, as of every command."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from door import run_tool
from tests.drafts import draft_figures

__all__ = ["RunTool", "draft_figures", "tool"]

RunTool = Callable[[ModuleType, list[str]], int]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> RunTool:
    """Run a tool with flags as its file does; returns the exit code."""

    def run(module: ModuleType, flags: list[str]) -> int:
        assert module.__file__
        name = Path(module.__file__).name
        monkeypatch.setattr(sys, "argv", [name, *flags])
        return run_tool(name, module.main)

    return run
