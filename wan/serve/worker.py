"""One worker process of the service: it makes what waits in the queue until its standard input ends.

python -m wan.serve.worker        started by ``wan.serve.crew``, never by hand
"""

import _thread
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from wan.batch.claims import Claim
from wan.batch.clock import SystemClock
from wan.batch.identity import Worker
from wan.batch.queue import QUEUE_FOLDER, WORKERS_FOLDER, Queue
from wan.batch.worker import Maker, Outcome, work
from wan.flags import Groups, make_parser
from wan.machine import Machine, add_machine_flags, machine_of
from wan.serve.crew import STOP_SECONDS

_LOOK_SECONDS = 2.0
"""How often an idle worker looks into the queue without being told to."""
_STEP_SECONDS, _LAST_SECONDS = STOP_SECONDS - 15.0, 10.0
"""How long a stopped worker may take for its step, and for what it does then."""


class Signal(SystemClock):
    """What the service tells a worker: that there may be work, and that it is to stop. It is the worker's clock: its
    sleep ends early when something was said, and with KeyboardInterrupt when that was to stop."""

    def __init__(self) -> None:
        self._said = threading.Event()
        self._stopping = threading.Event()

    def poke(self) -> None:
        """There may be work."""
        self._said.set()

    def stop(self) -> None:
        """Stop at the next step."""
        self._stopping.set()
        self._said.set()

    def sleep(self, seconds: float) -> None:
        self._said.wait(min(seconds, _LOOK_SECONDS))
        self._said.clear()
        self.check()

    def check(self) -> None:
        """KeyboardInterrupt when the worker is to stop."""
        if self._stopping.is_set():
            raise KeyboardInterrupt

    def serves(self) -> bool:
        """Whether there may be more to do."""
        return not self._stopping.is_set()


class StopsBetweenSteps:
    """A maker that is also asked, between steps, whether the service stops."""

    def __init__(self, maker: Maker, said: Signal) -> None:
        self._maker = maker
        self._said = said

    def make(self, claims: Sequence[Claim], *, check: Callable[[Claim], None]) -> list[Outcome]:
        def check_both(claim: Claim) -> None:
            self._said.check()
            check(claim)

        return self._maker.make(claims, check=check_both)


class Unwatched:
    """The service looks into the queue by itself."""

    def changed(self, *, last: bool = False) -> None:
        pass


def serve_queue(queue: Queue, maker: Maker, said: Signal) -> None:
    """Make what waits, and wait for more, until ``said`` stops it."""
    try:
        work(
            queue,
            StopsBetweenSteps(maker, said),
            batch_size=1,
            clock=said,
            watcher=Unwatched(),
            serves=said.serves,
        )
    except KeyboardInterrupt:
        if said.serves():
            raise


def main() -> None:
    # without a buffer, whose lock a thread that still reads would keep from the end of the process
    service = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115 - it lasts as long as the process
    settings = json.loads(service.readline())
    said = Signal()
    threading.Thread(target=_listen, args=(service, said), name="service", daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: _stop(said))
    signal.signal(signal.SIGINT, lambda *_: _interrupt(said))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker %(process)d: %(message)s", stream=sys.stderr)
    from wan.batch.making import VideoMaker  # torch takes seconds, in which the service may be stopped again

    folder = Path(settings["folder"])
    maker = VideoMaker(
        folder=folder,
        machine=_machine(settings["machine"]),
        say=logging.getLogger("wan").info,
        accept_changes=settings["accept_changes"],
        is_watched=True,
    )
    with Worker.in_folder(folder / QUEUE_FOLDER / WORKERS_FOLDER) as worker:
        queue = Queue(folder, worker=worker, lease=settings["lease"], retries=settings["retries"], clock=said)
        serve_queue(queue, maker, said)


def _listen(stream: FileIO, said: Signal) -> None:
    while stream.readline():
        said.poke()
    _stop(said)


def _stop(said: Signal) -> None:
    """Stop at the next step; where that does not come, soon; and where even that fails, at once."""
    if not said.serves():
        return
    said.stop()
    for seconds, end in ((_STEP_SECONDS, _thread.interrupt_main), (_STEP_SECONDS + _LAST_SECONDS, _die)):
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()


def _interrupt(said: Signal) -> None:
    """Ctrl-C stops at the next step; a second one, or the end of the patience with a step, at once."""
    if not said.serves():
        raise KeyboardInterrupt
    _stop(said)


def _die() -> None:
    os._exit(1)  # what is on disk goes on where it is


def _machine(argv: Sequence[str]) -> Machine:
    parser: Any = make_parser("serve", None)
    add_machine_flags(Groups(parser))
    return machine_of(parser.parse_args(argv))


if __name__ == "__main__":
    main()
