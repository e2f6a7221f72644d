"""A running service for tests: a real web server on the loopback, and workers that take milliseconds for a request."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wan.batch.claims import Claim
from wan.batch.identity import Worker
from wan.batch.queue import QUEUE_FOLDER, WORKERS_FOLDER, Queue
from wan.batch.worker import CLAIM_LEFT, Outcome
from wan.runs.atomic import write_json_atomic
from wan.serve.desk import LEASE_SECONDS, Desk, DeskSettings
from wan.serve.worker import Signal, serve_queue

MODELS: dict[str, Path | None] = {"t2v-demo": None}
RED = "a red circle moving right on a blue background"
TOKEN = "0123456789-abcdef-token"
STEPS = 4


@dataclass
class StubMaker:
    """Writes the files that a run leaves, with four steps that take as long as ``step_seconds`` says; prompts that hold
    the word poison fail. ``made`` has the folders in their order; while ``gate`` is closed no request gets a step."""

    folder: Path
    step_seconds: float = 0.002
    made: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def make(self, claims: Sequence[Claim], *, check: Callable[[Claim], None]) -> list[Outcome]:
        return [self._one(claim, check) for claim in claims]

    def _one(self, claim: Claim, check: Callable[[Claim], None]) -> Outcome:
        run = self.folder / claim.entry.folder
        try:
            for step in range(1, STEPS + 1):
                while not self.gate.wait(0.02):
                    check(claim)
                    claim.keep(steps=step - 1)
                time.sleep(self.step_seconds)
                check(claim)
                claim.keep(steps=step)
                (run / "latents_partial.safetensors").write_bytes(b"kept")
            if "poison" in claim.entry.prompt:
                return ValueError(f"{run} is poison")
        except CLAIM_LEFT as error:
            return error
        (run / "video.mp4").write_bytes(b"mp4 of " + claim.entry.prompt.encode())
        timing = {"inference": STEPS * self.step_seconds, "decode": 0.01}
        record = {"status": "finished", "prompt": claim.entry.prompt, "task": "t2v-demo", "seed": 1, "timing": timing}
        write_json_atomic(run / "run.json", record | {"forwards": {"executed_flops": claim.entry.price}})
        self.made.append(claim.entry.folder)
        return f"{claim.entry.folder}/video.mp4"


class ThreadCrew:
    """Workers that are threads of this process, all with the same maker."""

    def __init__(self, maker: StubMaker, *, workers: int = 1) -> None:
        self.maker = maker
        self._signals = [Signal() for _ in range(workers)]
        self._threads = [threading.Thread(target=self._work, args=(said,), daemon=True) for said in self._signals]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def poke(self) -> None:
        for said in self._signals:
            said.poke()

    def tend(self) -> None:
        pass

    def stop(self) -> None:
        for said in self._signals:
            said.stop()
        for thread in self._threads:
            if thread.ident:
                thread.join()

    def alive(self) -> tuple[int, int]:
        return sum(thread.is_alive() for thread in self._threads), len(self._threads)

    def _work(self, said: Signal) -> None:
        folder = self.maker.folder
        with Worker.in_folder(folder / QUEUE_FOLDER / WORKERS_FOLDER) as worker:
            queue = Queue(folder, worker=worker, lease=LEASE_SECONDS, retries=0, clock=said)
            serve_queue(queue, self.maker, said)


def settings(folder: Path, **changes: Any) -> DeskSettings:
    return DeskSettings(folder=folder, **{"models": MODELS, **changes})


@contextmanager
def stub_desk(
    folder: Path, *, is_open: bool = True, workers: int = 1, **changes: Any
) -> Iterator[tuple[Desk, StubMaker]]:
    """A desk whose videos take milliseconds; not ``is_open``: none of them gets a step before its gate is set."""
    maker = StubMaker(folder)
    if is_open:
        maker.gate.set()
    with Desk(settings(folder, **changes), crew=ThreadCrew(maker, workers=workers)) as desk:
        yield desk, maker


@dataclass
class Service:
    """A running server: its address, and what stands behind it."""

    url: str
    desk: Desk
    maker: StubMaker

    def client(self, token: str = "none", **how: Any) -> Any:
        """OpenAI's client, which asks once."""
        openai = pytest.importorskip("openai")
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=token, max_retries=0, timeout=20, **how)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request by hand: (status, headers, body); names of headers have _ for -."""
        import http.client

        host, port = self.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=20)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=given)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def video(self, id: str) -> dict[str, Any]:
        """The object of GET /v1/videos/ID."""
        found: dict[str, Any] = json.loads(self.ask("GET", f"/v1/videos/{id}")[2])
        return found

    def post(self, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        """(status, object) of POST /v1/videos with JSON."""
        status, _, answer = self.ask(
            "POST", "/v1/videos", json.dumps(body).encode(), Content_Type="application/json", **headers
        )
        return status, json.loads(answer)


@contextmanager
def running(
    folder: Path, *, token: str | None = None, hosts: Sequence[str] | None = None, **how: Any
) -> Iterator[Service]:
    """A service with stub workers behind a real web server; skips the test where the extra is not installed."""
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
        pytest.importorskip(name)
    from wan.serve.app import make_app
    from wan.serve.guard import LOOPBACK_HOSTS
    from wan.serve.running import make_server

    with stub_desk(folder, **how) as (desk, maker), socket.create_server(("127.0.0.1", 0)) as listening:
        server = make_server(make_app(desk, token=token, hosts=hosts or LOOPBACK_HOSTS))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        until(lambda: server.started)
        try:
            yield Service(f"http://127.0.0.1:{listening.getsockname()[1]}", desk, maker)
        finally:
            server.should_exit = server.force_exit = True
            thread.join(timeout=10)


def until(holds: Callable[[], bool], *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
