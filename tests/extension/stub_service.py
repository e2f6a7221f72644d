"""A stub of a chat service on loopback: answers as a script says, and keeps what it was sent."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789"
PROMPT = "A red fox runs through deep snow at dawn, and the camera follows it at its side."
Answer = Callable[[BaseHTTPRequestHandler], None]
"""Writes one answer."""


def completion(content: Any, **choice: Any) -> bytes:
    """A chat completion that holds a text."""
    message = {"role": "assistant", "content": content}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop", **choice}]}).encode()


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer; names of headers are written with _ for -."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return write


def good(content: Any = PROMPT, **choice: Any) -> Answer:
    return answer(200, completion(content, **choice))


def raw(data: bytes) -> Answer:
    """Bytes in the place of an answer, and the end of the connection."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return write


def dripping(head: bytes, drop: bytes) -> Answer:
    """An answer that goes on byte by byte and never ends."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while True:
            handler.wfile.write(drop)
            handler.wfile.flush()
            time.sleep(0.02)

    return write


def silent(handler: BaseHTTPRequestHandler) -> None:
    """No answer, until the other side gives up."""
    handler.connection.recv(1)


@dataclass
class StubService:
    """``script``: the answers in their order, of which the last one goes on; ``requests``: path, headers and body."""

    url: str
    script: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def next(self) -> Answer:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def stub_service() -> Iterator[StubService]:
    """A service that is there for the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stub.requests.append((self.path, dict(self.headers), json.loads(body)))
            stub.times.append(time.monotonic())
            try:
                stub.next()(self)
            except OSError:
                return  # the other side has hung up

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    stub = StubService(url=f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
