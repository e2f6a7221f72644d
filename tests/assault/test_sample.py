"""The sample of the assault that continuous integration runs, a part at a time; ``make assault`` runs all of it."""

from pathlib import Path

import pytest

from tests.assault.parts import PARTS
from tests.assault.trials import Part, run_part


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_nothing_of_the_sample_fails(part: Part, tmp_path: Path) -> None:
    outcome = run_part(part, tmp_path / part.name, sample=True, say=print)
    assert outcome.faults == {}
    assert outcome.tried or outcome.left_out
