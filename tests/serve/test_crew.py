"""Worker processes: which GPU each sees, what it is told, and that it stops between steps and not within one."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.batch.stubs import entries
from wan.batch.claims import Claim
from wan.batch.identity import Worker
from wan.batch.queue import Queue
from wan.batch.worker import Outcome
from wan.machine import Machine
from wan.serve.crew import WorkerSettings, _environment, _seen_as
from wan.serve.worker import Signal, _machine, serve_queue


@pytest.mark.parametrize(
    ("visible", "device", "seen", "inside"),
    [
        (None, "cuda:1", "1", "cuda"),
        ("4,5", "cuda:1", "5", "cuda"),
        ("GPU-a,GPU-b", "cuda:0", "GPU-a", "cuda"),
        ("4,5", "cuda", "4,5", "cuda"),
        ("4,5", None, "4,5", None),
        (None, "cpu", None, "cpu"),
    ],
)
def test_a_worker_sees_the_gpu_of_its_place_alone(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str | None, seen: str | None, inside: str | None
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _environment(device).get("CUDA_VISIBLE_DEVICES") == seen and _seen_as(device) == inside


def test_no_worker_gets_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_TOKEN", "a secret of some length")
    assert "WAN_TOKEN" not in _environment(None)


def test_the_settings_of_a_worker_are_one_line(tmp_path: Path) -> None:
    machine = Machine(dtype="bfloat16", offload="none", text_cache=tmp_path / "a b")
    line = WorkerSettings(folder=tmp_path, machine=machine, lease=5.0, retries=2, accept_changes=True).as_line()
    found = json.loads(line)
    assert line.count(b"\n") == 1 and _machine(found["machine"]) == machine and found["folder"] == str(tmp_path)


class Steps:
    """A maker of endless steps; it tells of each, and the service stops it after the second."""

    def __init__(self, said: Signal) -> None:
        self.said = said
        self.begun = self.ended = 0

    def make(self, claims: Sequence[Claim], *, check: Callable[[Claim], None]) -> list[Outcome]:
        while True:
            self.begun += 1
            if self.begun == 2:
                self.said.stop()
            self.ended += 1
            check(claims[0])


def test_a_worker_stops_between_steps_and_gives_its_request_back(tmp_path: Path) -> None:
    said = Signal()
    with Worker.in_folder(tmp_path / "queue" / "workers") as worker:
        queue = Queue(tmp_path, worker=worker, clock=said)
        queue.submit(entries(2))
        steps = Steps(said)
        serve_queue(queue, steps, said)
    assert steps.begun == steps.ended == 2
    assert queue.counts()["waiting"] == 2, "it counts for no attempt"


def test_an_idle_worker_wakes_up_when_it_is_told(tmp_path: Path) -> None:
    said = Signal()
    thread = threading.Thread(target=said.sleep, args=(60.0,))
    thread.start()
    said.poke()
    thread.join(timeout=1.5)  # by itself it would look again after two seconds
    assert not thread.is_alive()
    said.stop()
    with pytest.raises(KeyboardInterrupt):
        said.sleep(60.0)
