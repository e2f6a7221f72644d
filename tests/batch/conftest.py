"""The run that others are compared with: one worker, never stopped."""

from pathlib import Path

import pytest

from tests.batch.videos import LINES, batch, written


@pytest.fixture(scope="package")
def sequential(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one worker that was never stopped."""
    place = tmp_path_factory.mktemp("sequential")
    assert batch(written(place, LINES), place / "out", "--quiet") == 0
    return place / "out"
