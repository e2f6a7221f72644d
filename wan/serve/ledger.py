"""The requests of a service: those of its queue with what was asked for, their newest states, and those deleted."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from wan.batch.claim_files import RUNNING
from wan.batch.queue import STATES, WAITING, Queue, Status
from wan.batch.segments import Entry as QueueEntry
from wan.batch.segments import Segments, request_id
from wan.runs.lock import FolderBusy, hold
from wan.serve.asked import Asked, read_asked
from wan.serve.views import UnknownEntry

DELETED_FOLDER = "deleted"
_TRASH = ".files"
_WATCHED_SECONDS = 600.0
"""How long the folder of a deleted request is watched: a worker that was loading its model may make it again."""


@dataclass(slots=True)
class Kept:
    """One request: ``asked`` for, at its place in the queue, and its newest ``status``."""

    asked: Asked
    queue_id: str
    entry: QueueEntry
    folder: Path
    status: Status
    ended_at: float | None = None

    @property
    def is_over(self) -> bool:
        return self.status.result is not None


class Ledger:
    """All requests in the order of the queue. One thread uses it at a time."""

    def __init__(self, queue: Queue) -> None:
        """Reads all of the queue; ``InvalidInput`` when it is damaged."""
        self._queue = queue
        self._segments = Segments(queue.root)
        self._deleted = queue.root / DELETED_FOLDER
        self._deleted.mkdir(exist_ok=True)
        self._kept: dict[str, Kept] = {}
        self._open: dict[str, Kept] = {}
        self._known = self._segments.count()
        self._ended: list[Kept] = []
        self._leaving: dict[str, tuple[Kept, float]] = {}
        gone = {path.name for path in self._deleted.iterdir()}
        for name in gone:
            if name.endswith(_TRASH):
                shutil.rmtree(self._deleted / name, ignore_errors=True)
        for status in queue.statuses():
            kept = self._made(status)
            if status.entry.key not in gone:
                self._add(kept)
            elif kept.folder.exists():
                self._leave(kept)
        self.refresh_all()

    def __getitem__(self, id: str) -> Kept:
        """``UnknownEntry`` when there is none."""
        if id not in self._kept:
            raise UnknownEntry(f"there is no video {id[:60]!r} here; it may have been deleted")
        return self._kept[id]

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept.values())

    def ids(self) -> list[str]:
        """In the order in which they were submitted."""
        return list(self._kept)

    def open(self) -> list[Kept]:
        """What waits or runs, in the order in which workers take it."""
        return list(self._open.values())

    def before(self, kept: Kept) -> list[Kept]:
        """What is made before a request that waits: all that runs, and what waits and is taken first."""
        running = [one for one in self._open.values() if one.status.state == RUNNING]
        waiting = (one for one in self._open.values() if one.status.state == WAITING)
        return running + list(takewhile(lambda one: one is not kept, waiting))

    def counts(self) -> dict[str, int]:
        """How many are in each state."""
        found = Counter(kept.status.state for kept in self)
        return {state: found[state] for state in STATES}

    def add(self, asked: Asked, entry: QueueEntry) -> Kept:
        """Put a request into the queue; OSError when that cannot be written."""
        (queue_id,) = self._queue.submit([entry])
        folder = self._queue.folder / entry.folder
        status = Status(id=queue_id, entry=entry, state=WAITING)
        kept = Kept(asked, queue_id, entry, folder, status)
        self._add(kept)
        return kept

    def refresh(self, kept: Kept) -> None:
        """Read its state anew."""
        kept.status = self._queue.state(kept.queue_id)
        self._sort(kept)

    def _sort(self, kept: Kept) -> None:
        if kept.is_over:
            kept.ended_at = self._queue.ended_at(kept.queue_id)
            if self._open.pop(kept.asked.id, None):
                self._ended.append(kept)
        elif kept.asked.id in self._kept and kept.asked.id not in self._open:
            kept.ended_at = None
            self._open[kept.asked.id] = kept

    def refresh_all(self) -> None:
        """Read the states and the order of all that had not ended, and what others have put into the queue."""
        self._find_new()
        line = {status.id: status for status in self._queue.in_line()}
        for kept in self.open():
            kept.status = line.get(kept.queue_id) or self._queue.state(kept.queue_id)
            self._sort(kept)
        places = {id: place for place, id in enumerate(line)}
        last = len(places)
        self._open = dict(sorted(self._open.items(), key=lambda one: places.get(one[1].queue_id, last)))

    def newly_ended(self) -> list[Kept]:
        """Those that have ended since this was asked the last time."""
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, kept: Kept) -> bool:
        """End it; False when it had ended."""
        is_ours = self._queue.cancel(kept.queue_id)
        self.refresh(kept)
        return is_ours

    def retry(self, kept: Kept) -> bool:
        """Let it wait again; False when it has not failed and was not cancelled."""
        is_ours = self._queue.retry(kept.queue_id)
        self.refresh(kept)
        self.refresh_all()
        return is_ours

    def prefer(self, kept: Kept) -> bool:
        """Let it be taken before all others that wait; False when it does not wait."""
        is_ours = self._queue.prefer(kept.queue_id)
        self.refresh_all()
        return is_ours

    def delete(self, kept: Kept) -> None:
        """Forget it for ever, and remove its folder as soon as nobody works in there."""
        (self._deleted / kept.entry.key).touch()
        self._queue.cancel(kept.queue_id)
        self._kept.pop(kept.asked.id, None)
        self._open.pop(kept.asked.id, None)
        self._leave(kept)
        self.sweep()

    def sweep(self) -> None:
        """Remove the folders of what was deleted, those left out in which a worker still is."""
        for id, (kept, until) in list(self._leaving.items()):
            trash = self._deleted / f"{kept.entry.key}{_TRASH}"
            if remove_run_folder(self._queue.folder, kept.folder, trash=trash) and time.monotonic() > until:
                del self._leaving[id]

    def _leave(self, kept: Kept) -> None:
        self._leaving[kept.asked.id] = kept, time.monotonic() + _WATCHED_SECONDS

    def _find_new(self) -> None:
        count = self._segments.count()
        for number in range(self._known, count):
            for place in range(len(self._segments.read(number).entries)):
                status = self._queue.state(request_id(number, place))
                kept = self._made(status)
                if kept.asked.id not in self._kept and not (self._deleted / status.entry.key).exists():
                    self._add(kept)
        self._known = count

    def _made(self, status: Status) -> Kept:
        folder = self._queue.folder / status.entry.folder
        ended_at = self._queue.ended_at(status.id) if status.result else None
        asked = read_asked(folder, status.entry, created_at=ended_at or 0.0)
        return Kept(asked, status.id, status.entry, folder, status, ended_at)

    def _add(self, kept: Kept) -> None:
        self._kept[kept.asked.id] = kept
        if not kept.is_over:
            self._open[kept.asked.id] = kept


def remove_run_folder(parent: Path, folder: Path, *, trash: Path) -> bool:
    """Whether the folder is gone: not while somebody works in it. Links are removed and never followed; what is no
    folder of ``parent`` itself stays."""
    if folder.parent != parent or folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
        return True
    try:
        lock = hold(folder)
    except (FolderBusy, OSError):
        return False
    lock.release()
    with suppress(OSError):
        folder.rename(trash)
        shutil.rmtree(trash)
    return not folder.exists()
