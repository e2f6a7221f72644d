"""What the tests of faults share: a refused command, the shortest run of a tiny checkpoint, and what it left."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.goldens import materialise
from wan.cli.main import label_of, run

Refused = Callable[..., str]
TINY = ("--size", "64*48", "--frame_num", "5", "--sample_steps", "1", "--dtype", "float32", "--device", "cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A run that ended well: what it said, its folder and its record."""

    said: str
    folder: Path
    record: dict[str, Any]


Make = Callable[..., Made]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The sentence of a command that must end with exit code 2, and make nothing where it is called."""
    place = tmp_path / "place"
    place.mkdir()

    def call(command: str, *flags: str) -> str:
        monkeypatch.chdir(place)
        assert run(command, list(flags)) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"{label_of(command)}: ") and error.count("\n") == 1, error
        assert not list(place.iterdir())
        return error

    return call


@pytest.fixture(scope="session")
def t2v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny official checkpoint of t2v-A14B."""
    return materialise("t2v_A14B_unipc", tmp_path_factory.mktemp("t2v"))


@pytest.fixture(scope="session")
def i2v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny official checkpoint of i2v-A14B."""
    return materialise("i2v_A14B_unipc", tmp_path_factory.mktemp("i2v"))


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Make:
    """The shortest run with some flags on a checkpoint."""

    def call(checkpoint: Path, task: str, *flags: str, seed: int = 1) -> Made:
        outputs = tmp_path / f"outputs-{len(list(tmp_path.iterdir()))}"
        argv: Sequence[str] = ("--task", task, "--ckpt_dir", str(checkpoint), *TINY, "--base_seed", str(seed), *flags)
        assert run("generate", [*argv, "--output_dir", str(outputs)]) == 0, capsys.readouterr().err
        (folder,) = outputs.iterdir()
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        return Made(said=capsys.readouterr().out, folder=folder, record=record)

    return call
