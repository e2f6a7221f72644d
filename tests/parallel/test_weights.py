"""Weights spread over the ranks: each has its part alone in memory of its own, and no rank has a whole model."""

import json
from pathlib import Path

from tests.parallel.launch import finished, launched, said
from tests.parallel.weights_child import write_weights


def test_each_of_two_ranks_has_half_of_the_weights_in_its_own_memory(tmp_path: Path) -> None:
    size = write_weights(tmp_path / "model.safetensors")
    codes = finished(launched(2, "-m", "tests.parallel.weights_child", str(tmp_path), log=tmp_path), seconds=240)
    assert codes == [0, 0], said(tmp_path, 0) + said(tmp_path, 1)
    for rank in range(2):
        found = json.loads((tmp_path / f"memory_{rank}.json").read_text())
        assert 0.4 * size < found["spread"]["own"] < 0.6 * size
        # mapped from the file, which is in memory once for all processes
        assert found["whole"]["own"] < 0.05 * size
