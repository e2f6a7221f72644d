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

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wan.machine import Machine
from wan.serve.views import Entry, Quote, Run

MAX_QUEUE, MAX_UPLOAD_MIB, MAX_PROMPT = 100, 20, 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskSettings:
    """``folder``: run folders and queue. ``models``: the tasks that may be asked for, the first one is the default,
    each with its checkpoint folder (None: the one that ships with the package). ``devices``: one worker each, None: the
    best device here. ``max_queue`` requests may wait, ``max_prompt`` characters and ``max_upload`` bytes are the most.
    """

    folder: Path
    models: Mapping[str, Path | None]
    machine: Machine = Machine()
    devices: tuple[str | None, ...] = (None,)
    max_queue: int = MAX_QUEUE
    max_prompt: int = MAX_PROMPT
    max_upload: int = MAX_UPLOAD_MIB * 2**20
    accept_changes: bool = False


class Desk:
    """Everything that a face of the service does. Any number of threads may call it at once.

    Sentences of refusals are those of the command: ``RequestRefused`` (an ``InvalidInput``) carries the field's name.
    """

    def __init__(self, settings: DeskSettings) -> None:
        """Starts nothing. ``InvalidInput`` when the folder cannot be used, or another service works in it."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the workers and the thread that watches them; ``with desk:`` starts and stops it."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the workers in order: each stops at its next step, and its request goes on there at the next start."""
        raise NotImplementedError

    def quote(self, fields: Mapping[str, Any], image: bytes | None = None) -> Quote:
        """What a request would be and cost; nothing is stored. ``image``: the content of an image file.

        ``RequestRefused`` for what cannot be made, also without a prompt: a quote needs none.
        """
        raise NotImplementedError

    def submit(self, fields: Mapping[str, Any], image: bytes | None = None) -> Entry:
        """Put a request into the queue, where it is safe against any crash when this returns.

        ``RequestRefused`` for what cannot be made, ``QueueFull`` when too many wait, OSError when the disk takes
        nothing.
        """
        raise NotImplementedError

    def entries(self) -> list[Entry]:
        """All requests that are not deleted, the newest first."""
        raise NotImplementedError

    def entry(self, id: str) -> Entry:
        """One request; ``UnknownEntry`` when there is none."""
        raise NotImplementedError

    def cancel(self, id: str) -> Entry:
        """End a request that waits or runs; a running one stops at its next step and keeps its latents, so that
        ``resume`` goes on with it. One that has ended stays as it is. ``UnknownEntry`` when there is none."""
        raise NotImplementedError

    def resume(self, id: str) -> Entry:
        """Let a failed or cancelled request wait again; it goes on at the step where it stopped, if it kept its state.

        One that waits, runs or is finished stays as it is. ``UnknownEntry``, ``QueueFull``.
        """
        raise NotImplementedError

    retry = resume

    def delete(self, id: str) -> None:
        """Take a request off the list and remove its run folder with everything in it, once no worker is in there; one
        that waits or runs is cancelled first. Nothing outside of that folder is touched. ``UnknownEntry``."""
        raise NotImplementedError

    def runs(self) -> list[Run]:
        """Every run folder below the output folder, also those of the command line, the newest first."""
        raise NotImplementedError

    def models(self) -> Mapping[str, Path | None]:
        """The tasks that may be asked for, the default first."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """How many requests are in each state, deleted ones left out."""
        raise NotImplementedError

    def workers(self) -> tuple[int, int]:
        """(alive, wanted) workers."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
