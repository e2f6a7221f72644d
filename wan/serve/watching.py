"""Watches the requests of a service: what ended, how fast the others go, and how each looks to a client now."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from wan.batch.claim_files import RUNNING
from wan.batch.queue import FINISHED, WAITING
from wan.errors import InvalidInput, WanError
from wan.runs import load_record
from wan.runs import record as runs
from wan.runs.folders import PREVIEW_NAME
from wan.serve.crew import Crew, Say
from wan.serve.ledger import Kept, Ledger
from wan.serve.paces import Paces
from wan.serve.runs import existing
from wan.serve.views import Entry

_PAUSE, _SHARE_OF_TIME = 0.4, 0.05
_LEARNED = 20
_LONGEST_RETRY, _USUAL_RETRY = 600, 30


class Watch:
    """A thread that looks after the requests of a ledger, and what it knows of them. ``turn`` guards both."""

    def __init__(self, ledger: Ledger, crew: Crew, *, turn: threading.RLock, workers: int, say: Say) -> None:
        self.paces = Paces()
        self.listeners: list[Callable[[Entry], None]] = []
        self.steps_done = 0
        self._ledger = ledger
        self._crew = crew
        self._turn = turn
        self._workers = workers
        self._say = say
        self._steps: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._over: dict[str, Entry] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        finished = [kept for kept in ledger if kept.status.state == FINISHED]
        for kept in sorted(finished, key=lambda kept: kept.ended_at or 0.0)[-_LEARNED:]:
            self._learn(kept)

    def start(self) -> None:
        """Begin to look, about twice a second."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for that."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Once: read all states, learn from what has ended, tell it, and remove what was deleted."""
        with self._turn:
            self._ledger.refresh_all()
            for kept in self._ledger.open():
                if kept.status.state == RUNNING:
                    self._saw(kept)
            ended = [(kept, self._end(kept)) for kept in self._ledger.newly_ended()]
            self._ledger.sweep()
        for _, entry in ended:
            for told in self.listeners:
                told(entry)

    def view(self, kept: Kept) -> Entry:
        """One request as it is now."""
        id = kept.asked.id
        if not kept.is_over:
            self._over.pop(id, None)
            return self._open_view(kept)
        if id in self._over:
            return self._over[id]
        entry = self._over_view(kept)
        if _is_settled(kept):
            self._over[id] = entry
        return entry

    def seconds_to_next(self) -> int:
        """When the next request may end."""
        running = [kept for kept in self._ledger.open() if kept.status.state == RUNNING]
        left = [seconds for kept in running if (seconds := self._left(kept)) is not None]
        return min(_LONGEST_RETRY, max(1, round(min(left)))) if left else _USUAL_RETRY

    def _run(self) -> None:
        pause = _PAUSE
        while not self._stopping.wait(pause):
            start = time.monotonic()
            try:
                self.look()
                self._crew.tend()
            except (WanError, OSError) as error:  # a disk that is full for a while ends no service
                self._say(f"the queue cannot be read: {error}")
            pause = max(_PAUSE, (time.monotonic() - start) / _SHARE_OF_TIME)

    def _saw(self, kept: Kept) -> None:
        id, steps = kept.asked.id, kept.status.steps
        if id not in self._began:
            self._began[id] = time.time()
            self._steps[id] = steps  # of an earlier life of the service
        self._count(id, steps)
        self.paces.saw(id, done=kept.asked.done_after(steps), now=time.monotonic())

    def _count(self, id: str, steps: int) -> None:
        self.steps_done += max(0, steps - self._steps.get(id, 0))
        self._steps[id] = max(steps, self._steps.get(id, 0))

    def _end(self, kept: Kept) -> Entry:
        id = kept.asked.id
        self.paces.forget(id)
        self._over.pop(id, None)
        if kept.status.state == FINISHED:
            self._count(id, len(kept.asked.work))
            self._learn(kept)
        entry = self.view(kept)
        self._began.pop(id, None)
        self._steps.pop(id, None)
        return entry

    def _learn(self, kept: Kept) -> None:
        with suppress(InvalidInput):
            self.paces.learn(kept.entry.session, load_record(kept.folder))

    def _left(self, kept: Kept) -> float | None:
        if kept.status.state == RUNNING:
            return self.paces.left(kept.asked.id, kept.entry.session, kept.asked.flops)
        return self.paces.whole(kept.entry.session, kept.asked.flops)

    def _open_view(self, kept: Kept) -> Entry:
        status, asked = kept.status, kept.asked
        is_running, step = status.state == RUNNING, status.steps
        before = self._ledger.before(kept) if status.state == WAITING else []
        work = [self._left(one) for one in before]
        own, known = self._left(kept), [seconds for seconds in work if seconds is not None]
        eta = None if own is None or len(known) < len(work) else own + sum(known) / self._workers
        return Entry(
            state=status.state,
            progress=asked.done_after(step) if is_running else 0.0,
            step=step,
            expert=asked.experts[step] if is_running and step < len(asked.experts) else "",
            position=None if is_running else len(before),
            eta_seconds=eta,
            preview=existing(kept.folder, PREVIEW_NAME),
            file=None,
            error="",
            started_at=self._began.get(asked.id),
            ended_at=None,
            **_asked_fields(kept),
        )

    def _over_view(self, kept: Kept) -> Entry:
        status, asked, result = kept.status, kept.asked, kept.status.result
        assert result is not None
        is_finished = status.state == FINISHED
        step = len(asked.work) if is_finished else _steps_kept(kept)
        began = None if kept.ended_at is None or not result.seconds else kept.ended_at - result.seconds
        made = kept.folder.parent / result.file
        return Entry(
            state=status.state,
            progress=1.0 if is_finished else asked.done_after(step),
            step=step,
            expert="",
            position=None,
            eta_seconds=None,
            preview=existing(kept.folder, PREVIEW_NAME),
            file=existing(kept.folder, made.name) if is_finished and made.parent == kept.folder else None,
            error=result.error,
            started_at=began or self._began.get(asked.id),
            ended_at=kept.ended_at,
            **_asked_fields(kept),
        )


_AS_ASKED = (
    *("id", "task", "prompt", "size", "frame_num", "fps", "seed", "created_at"),
    *("settings", "weights", "share", "notices"),
)


def _asked_fields(kept: Kept) -> dict[str, Any]:
    asked = kept.asked
    image = None if asked.image is None else existing(kept.folder, asked.image)
    found = {name: getattr(asked, name) for name in _AS_ASKED}
    return found | {"steps": len(asked.work), "run_folder": kept.folder, "image": image}


def _is_settled(kept: Kept) -> bool:
    """Whether no worker writes into the folder of an ended request any more: a cancelled one ends before its worker has
    put down the latents of its last step."""
    try:
        return load_record(kept.folder).get("status") != runs.RUNNING
    except InvalidInput:
        return True


def _steps_kept(kept: Kept) -> int:
    """The steps that a run which was not finished has kept."""
    try:
        return int(load_record(kept.folder)["outputs"]["steps_done"])
    except (InvalidInput, KeyError, TypeError, ValueError):
        return 0
