"""The desk of the service: quotes, requests, their states and their files; no HTTP, and everything the faces need.

    with Desk(DeskSettings(folder=Path("outputs"), models={"t2v-demo": None})) as desk:
        desk.quote({"prompt": "a red circle", "budget": 0.5}).seconds
        entry = desk.submit({"prompt": "a red circle", "budget": 0.5})
        desk.entry(entry.id).progress

It stands on ``wan.batch.queue.Queue`` (files, which survive every restart), and workers in processes of their own make
the videos. Fields are those of a line of ``wan batch``: prompt, task, negative_prompt, size ("832*480"), frame_num,
base_seed, sample_solver, sample_steps, sample_shift, sample_guide_scale (one number, or [low noise, high noise]), and
the shortcuts, by themselves ("budget": 0.5) or under "shortcuts".
"""

import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from wan.batch.planned import lasting_argv
from wan.batch.queue import WAITING, Queue
from wan.batch.segments import Entry as QueueEntry
from wan.errors import InvalidInput, WanError
from wan.limits import resolve_seed
from wan.runs.folders import create_run_directory
from wan.serve.asked import asked_for, entry_id, refuse_no_prompt, write_asked, write_image
from wan.serve.crew import Crew, ProcessCrew, Say, WorkerSettings
from wan.serve.fields import refusing
from wan.serve.ledger import Kept, Ledger
from wan.serve.planning import PlannedRequest, RequestPlanner, quote_of
from wan.serve.runs import RunFolders
from wan.serve.settings import DeskSettings as DeskSettings
from wan.serve.views import Entry, QueueFull, Quote, Run
from wan.serve.watching import Watch

LEASE_SECONDS = 20.0
LOCK_NAME = "service.lock"


class Desk:
    """Everything that a face of the service does. Any number of threads may call it at once.

    Sentences of refusals are those of the command: ``RequestRefused`` (an ``InvalidInput``) carries the field's name.
    """

    def __init__(self, settings: DeskSettings, *, crew: Crew | None = None, say: Say = lambda line: None) -> None:
        """Starts nothing. ``InvalidInput`` when the folder or a model cannot be used, or another service works in the
        folder. ``say`` takes lines for the operator."""
        settings = replace(settings, folder=settings.folder.absolute())
        self.settings = settings
        self._planner = RequestPlanner(settings)
        self._queue = Queue(settings.folder, lease=LEASE_SECONDS, retries=settings.retries)
        self._lock = _held(self._queue.root / LOCK_NAME)
        self._turn = threading.RLock()
        self._coming = 0
        ledger = Ledger(self._queue)
        self._crew = crew or ProcessCrew(_for_workers(settings), settings.devices, say=say)
        self._watch = Watch(ledger, self._crew, turn=self._turn, workers=len(settings.devices), say=say)
        self._ledger = ledger
        self._runs, self._runs_turn = RunFolders(settings.folder), threading.Lock()

    def start(self) -> None:
        """Start the workers and the thread that watches them; ``with desk:`` starts and stops it."""
        self._crew.start()
        self._watch.start()

    def stop(self) -> None:
        """End the workers in order: each stops at its next step, and its request goes on there at the next start."""
        self._watch.stop()
        self._crew.stop()
        self._lock.release()

    def quote(self, fields: Mapping[str, Any], image: bytes | None = None) -> Quote:
        """What a request would be and cost; nothing is stored. ``image``: the content of an image file.

        ``RequestRefused`` for what cannot be made; a quote needs no prompt.
        """
        found = self._planner.plan({**fields, "prompt": fields.get("prompt") or "a prompt"}, image)
        with self._turn:
            return quote_of(found, seconds=self._watch.paces.whole(found.session, found.tag.planned.flops))

    def submit(self, fields: Mapping[str, Any], image: bytes | None = None, *, notices: Sequence[str] = ()) -> Entry:
        """Put a request into the queue, where it is safe against any crash when this returns. ``notices`` are kept
        with it: what the caller has made of what it was asked for.

        ``RequestRefused`` for what cannot be made, ``QueueFull`` when too many wait, OSError when the disk takes
        nothing.
        """
        with refusing():
            refuse_no_prompt(fields)
        found = self._planner.plan(fields, image)
        found = replace(found, notices=(*notices, *found.notices))
        with self._turn:
            self._refuse_full()
            self._coming += 1
        try:
            kept = self._stored(found, image)
        finally:
            with self._turn:
                self._coming -= 1
        self._crew.poke()
        return self._view(kept)

    def entries(self) -> list[Entry]:
        """All requests that are not deleted, the newest first."""
        with self._turn:
            self._ledger.refresh_all()
            return [self._watch.view(kept) for kept in reversed(list(self._ledger))]

    def ids(self) -> list[str]:
        """The ids of all requests that are not deleted, the newest first; cheaper than all entries."""
        with self._turn:
            return self._ledger.ids()[::-1]

    def entry(self, id: str) -> Entry:
        """One request; ``UnknownEntry`` when there is none."""
        return self._view(self._ledger[id])

    def cancel(self, id: str) -> Entry:
        """End a request that waits or runs; a running one stops at its next step and keeps its latents, so that
        ``resume`` goes on with it. One that has ended stays as it is. ``UnknownEntry`` when there is none."""
        with self._turn:
            kept = self._ledger[id]
            self._ledger.cancel(kept)
        self._crew.poke()
        return self._view(kept)

    def resume(self, id: str) -> Entry:
        """Let a failed or cancelled request wait again; it goes on at the step where it stopped, if it kept its state.

        One that waits, runs or is finished stays as it is. ``UnknownEntry``, ``QueueFull``.
        """
        with self._turn:
            kept = self._ledger[id]
            if kept.is_over:
                self._refuse_full()
                self._ledger.retry(kept)
        self._crew.poke()
        return self._view(kept)

    retry = resume

    def adopt(self, folder: Path) -> Entry:
        """Let a run that the command line left unfinished in the output folder wait here; it goes on in its own folder
        at the step where it stopped.

        ``RequestRefused`` for one that is finished, in use, or that this service could not go on with, ``QueueFull``.
        """
        from wan.serve.adopting import adopted  # checking what has changed since imports torch

        with refusing():
            found = adopted(folder, self.settings)
        with self._turn:
            self._refuse_full()
            known = next((kept for kept in self._ledger if kept.folder == folder), None)
            kept = known or self._queued(found, folder, key=secrets.token_hex(16), now=datetime.now())
        self._crew.poke()
        return self._view(kept)

    def prefer(self, id: str) -> Entry:
        """Let a request that waits be the next that is made, before those that were preferred until now.

        It stays so through restarts, until it ends. One that runs or has ended stays as it is. ``UnknownEntry``;
        OSError when the disk takes nothing.
        """
        with self._turn:
            kept = self._ledger[id]
            self._ledger.prefer(kept)
        return self._view(kept)

    def delete(self, id: str) -> None:
        """Take a request off the list and remove its run folder with everything in it, once no worker is in there; one
        that waits or runs is cancelled first. Nothing outside of that folder is touched. ``UnknownEntry``."""
        with self._turn:
            self._ledger.delete(self._ledger[id])
        self._crew.poke()

    def runs(self) -> list[Run]:
        """Every run folder below the output folder, also those of the command line, the newest first."""
        with self._turn:
            entries = {kept.folder: kept.asked.id for kept in self._ledger}
        with self._runs_turn:
            return self._runs.find(entries)

    def models(self) -> Mapping[str, Path | None]:
        """The tasks that may be asked for, the default first."""
        return self.settings.models

    def counts(self) -> dict[str, int]:
        """How many requests are in each state, deleted ones left out."""
        with self._turn:
            return self._ledger.counts()

    def workers(self) -> tuple[int, int]:
        """(alive, wanted) workers."""
        return self._crew.alive()

    def steps_done(self) -> int:
        """Steps that were made since the service started."""
        return self._watch.steps_done

    def listen(self, told: Callable[[Entry], None]) -> None:
        """``told`` is called with every request that ends from now on."""
        self._watch.listeners.append(told)

    def _stored(self, found: PlannedRequest, image: bytes | None) -> Kept:
        """The request in its folder and in the queue; of one that could not be written nothing stays."""
        job, now = found.job, datetime.now()
        folder = _run_folder(self.settings.folder, task=job.config.name, prompt=job.prompt, now=now)
        try:
            picture = None if image is None else write_image(folder, image)
            request = replace(job.request, seed=resolve_seed(job.request.seed), image=picture)
            found = replace(found, job=replace(job, request=request))
            return self._queued(found, folder, key=secrets.token_hex(16), now=now)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _queued(self, found: PlannedRequest, folder: Path, *, key: str, now: datetime) -> Kept:
        """A request with its seed, recorded in its run folder and put into the queue."""
        request, id = found.job.request, entry_id(key)
        asked = asked_for(found, folder, id=id, created_at=now.timestamp())
        write_asked(folder, asked)
        entry = QueueEntry(
            key=key,
            folder=folder.name,
            argv=tuple(lasting_argv(request)),
            source=id,
            prompt=found.job.prompt,
            price=found.tag.planned.flops,
            session=found.session,
        )
        with self._turn:
            return self._ledger.add(asked, entry)

    def _view(self, kept: Kept) -> Entry:
        with self._turn:
            if not kept.is_over:
                self._ledger.refresh(kept)
            return self._watch.view(kept)

    def _refuse_full(self) -> None:
        waiting = sum(kept.status.state == WAITING for kept in self._ledger.open()) + self._coming
        if waiting >= self.settings.max_queue:
            raise QueueFull(
                f"{waiting} requests wait already, and {self.settings.max_queue} are the most here; ask again later",
                retry_after=self._watch.seconds_to_next(),
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _held(path: Path) -> FileLock:
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise InvalidInput(
            f"--output_dir {path.parent.parent} belongs to another service that runs now; give another folder, or stop "
            "that one"
        ) from None
    return lock


def _for_workers(settings: DeskSettings) -> WorkerSettings:
    return WorkerSettings(
        folder=settings.folder,
        machine=settings.machine,
        lease=LEASE_SECONDS,
        retries=settings.retries,
        accept_changes=settings.accept_changes,
    )


def _run_folder(parent: Path, *, task: str, prompt: str, now: datetime) -> Path:
    try:
        return create_run_directory(parent, task=task, prompt=prompt, now=now)
    except InvalidInput as error:  # the service's fault and not the client's
        raise WanError(str(error)) from error
