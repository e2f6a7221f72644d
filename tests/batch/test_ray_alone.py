"""Ray without a cluster: it starts on this machine, for this command alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.videos import FLAGS, LINES, statuses, written
from wan.commands import SOURCE_DIR


def test_without_a_cluster_ray_starts_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-scale.txt")
    path, out = written(tmp_path, LINES[1:3]), tmp_path / "out"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "wan", "batch", path, "--output_dir", out, *FLAGS, "--engine", "ray", "--workers", "1"],
        env=environment | {"PYTHONPATH": str(SOURCE_DIR), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ray: 1 workers on 1 nodes" in done.stdout + done.stderr
    assert {one.state for one in statuses(out).values()} == {"finished"}
