"""Runs the service in this process until it is told to stop: the web server, the desk and its workers."""

import importlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from wan.serve.app import make_app
from wan.serve.desk import Desk
from wan.serve.guard import LOOPBACK_HOSTS

_CONNECTIONS = 1000
_GRACE_SECONDS = 3
_KEEP_ALIVE_SECONDS = 15
PAGE_MODULE = "wan.serve.page.mount"


def run_service(
    desk: Desk, listening: socket.socket, *, token: str | None, hosts: Collection[str] | None, has_page: bool
) -> None:
    """Serve on a socket until SIGINT or SIGTERM; a second one does not wait for open connections. ``hosts``: the names
    by which it may be called beside those of this machine; None: any."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    names = None if hosts is None else [*LOOPBACK_HOSTS, *hosts]
    app = make_app(desk, token=token, hosts=names, mount_page=page_mounter() if has_page else None)
    server = make_server(app)
    with desk, ended_by_signals(server):
        server.run(sockets=[listening])


def make_server(app: Any) -> uvicorn.Server:
    """The web server, which trusts no header of a proxy, and ends open connections after a moment."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Leaves the signals to its caller, which has workers to end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM end the server in order, and nothing else."""

    def end(*_: object) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def page_mounter() -> Callable[[FastAPI, Desk], FastAPI]:
    """What puts the page on the application; it takes seconds to import."""
    mounter: Callable[[FastAPI, Desk], FastAPI] = importlib.import_module(PAGE_MODULE).mount_page
    return mounter
