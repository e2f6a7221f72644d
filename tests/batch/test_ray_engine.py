"""Workers as Ray actors: on this machine alone, and on two local nodes, where one is killed in a video."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.batch.videos import FLAGS, LINES, batch, latents, statuses, until, written
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.runs import load_record
from wan.runs.state_file import STATE_NAME


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each; Ray takes seconds to start, so there is one for all tests here."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-scale.txt")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCE_DIR))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_raylet_start_wait_time_s", "120")  # a busy computer is slow to start it
        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        found = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
        found.add_node(**node)
        ray.init(address=found.address, log_to_driver=False)
        yield ray
        ray.shutdown()
        found.shutdown()


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


def test_an_actor_killed_in_a_video_is_started_again_and_nothing_is_lost(
    cluster: Any, sequential: Path, tmp_path: Path
) -> None:
    path, out = written(tmp_path, LINES), tmp_path / "out"
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(batch, path, out, "--engine", "ray", "--lease", "8", "--quiet")
        until(lambda: any(out.glob(f"*/{STATE_NAME}")) or ended.done())
        (first, *_) = out.glob(f"*/{STATE_NAME}")
        owner = next(one for one in statuses(out).values() if one.entry.folder == first.parent.name)
        os.kill(int(owner.worker.split("-")[-2]), signal.SIGKILL)
        assert ended.result(timeout=200) == 0
    found, same = latents(out), latents(sequential)
    assert found.keys() == same.keys() and all(torch.equal(found[line], same[line]) for line in same)
    assert "resumed" in load_record(out / owner.entry.folder)
    done = statuses(out).values()
    assert {one.state for one in done} == {"finished"} and len(list(out.glob("0*"))) == len(LINES)
    assert owner.worker not in {one.result.worker for one in done if one.result and one.id == owner.id}


def test_without_ray_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(tmp_path, LINES), tmp_path / "out"
    monkeypatch.setattr("wan.batch.ray_engine.importlib.util.find_spec", lambda name: None)
    assert run("batch", [str(path), "--output_dir", str(out), *FLAGS, "--engine", "ray"]) == 2
    error = capsys.readouterr().err
    assert "--engine ray needs Ray, which is not installed here; run `pip install -r requirements-scale.txt`" in error
    assert error.count("\n") == 1 and not out.exists()
