"""The tiny official checkpoints on disk, written once per session for each layout that a test asks for."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.goldens import RUNS, materialise
from wan.loading.layouts import Checkpoint, open_checkpoint

Materialised = Callable[..., Path]


@pytest.fixture(scope="session")
def materialised(tmp_path_factory: pytest.TempPathFactory) -> Materialised:
    """``materialised(run, layout, shards)``: the directory to give as ``--ckpt_dir``."""

    @cache
    def write(run: str, layout: str = "official", shards: int = 1) -> Path:
        return materialise(run, tmp_path_factory.mktemp(run), layout=layout, shards=shards)

    return write


@pytest.fixture(scope="session")
def checkpoint(materialised: Materialised) -> Callable[[str], Checkpoint]:
    """``checkpoint(run)``: the opened official-layout directory."""
    return lambda run: open_checkpoint(RUNS[run].config, materialised(run))
