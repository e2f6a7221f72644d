"""A thousand requests and several processes: every request once, little overhead for each, and flat memory."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from tests.batch.stubs import StubMaker, entries
from wan.batch.clock import SystemClock
from wan.batch.identity import Worker
from wan.batch.overview import Overview
from wan.batch.queue import QUEUE_FOLDER, WORKERS_FOLDER, Queue
from wan.batch.worker import work
from wan.commands import SOURCE_DIR

REQUESTS, WORKERS = 1000, 3
MOST_SECONDS = 0.05
"""Of overhead for each request."""
MOST_GROWTH = 20e6
"""Bytes that a process may grow while it works on the second half of the requests."""
WORKER = """
import sys
from pathlib import Path
from tests.batch.test_many import stub_worker
stub_worker(Path(sys.argv[1]))
"""


def stub_worker(folder: Path) -> None:
    """Submit all requests, and work until every one has ended, as the command does; says how memory grew."""
    clock, memory = SystemClock(), list[int]()
    with Worker.in_folder(folder / QUEUE_FOLDER / WORKERS_FOLDER) as worker:
        queue = Queue(folder, worker=worker, clock=clock)
        queue.submit(entries(REQUESTS))
        maker = StubMaker(
            folder / "log", poisonous=["key500"], during=lambda claim: memory.append(psutil.Process().memory_info().rss)
        )
        overview = Overview(queue, title="stubs", show_progress=False, clock=clock, warn=sys.stdout.write)
        start = time.perf_counter()
        work(queue, maker, batch_size=1, clock=clock, watcher=overview)
        seconds = (time.perf_counter() - start) / max(1, len(memory))
    sys.stdout.write(f"{len(memory)} {seconds} {max(memory) - memory[len(memory) // 2]}\n")


def test_a_thousand_requests_in_several_processes(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(SOURCE_DIR)}
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    started = [
        subprocess.Popen(command, cwd=SOURCE_DIR, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(WORKERS)
    ]
    said = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * WORKERS
    made = Counter((tmp_path / "log").read_text().split())
    assert made.pop("key500") == 3
    assert set(made.values()) == {1} and len(made) == REQUESTS - 1
    queue = Queue(tmp_path)
    assert queue.counts() == {"waiting": 0, "running": 0, "finished": 999, "failed": 1, "cancelled": 0}
    assert not list((tmp_path / QUEUE_FOLDER / WORKERS_FOLDER).iterdir())
    for line in said:
        count, seconds, growth = map(float, line.split())
        # on a shared computer the processes wait for each other: all of them together have the time of one
        assert not count or (seconds / WORKERS < MOST_SECONDS and growth < MOST_GROWTH), line
