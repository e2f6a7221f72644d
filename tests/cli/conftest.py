"""What the tests of commands share: figures as drafts, because they draw many, and a call that must be refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drafts import draft_figures
from wan.cli.main import label_of, run

__all__ = ["draft_figures"]

Refusal = Callable[[str, list[str]], str]


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refusal:
    """The sentence on stderr of a command that must end with exit code 2 and write nothing where it is called."""

    def refused(command: str, flags: list[str]) -> str:
        monkeypatch.chdir(tmp_path)
        assert run(command, flags) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"{label_of(command)}: ") and error.count("\n") == 1
        assert not list(tmp_path.iterdir())
        return error

    return refused
