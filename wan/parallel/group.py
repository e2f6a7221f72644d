"""The process group: started before a pipeline is made, watched while it works, and ended for all when one fails."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d as c10d
from torch.distributed.rendezvous import rendezvous

from wan.errors import InvalidInput, WanError
from wan.models.devices import pick_device
from wan.parallel.ranks import Ranks, ranks_here
from wan.parallel.sharing import NOTHING, Sharing
from wan.parallel.team import ALONE, Team

ANSWER_SECONDS = 30.0
"""A process that has given no sign of life for so long is lost."""
END_SECONDS = 10.0
"""What the processes that are left have to end in, before they are ended."""
_BEAT_SECONDS = 1.0
_PATIENCE = timedelta(hours=1)
"""Of a collective: the others wait while one loads. What is lost is found by the watch, long before."""
_FAILED = "failed"
_DEVICES = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


class GroupBroken(WanError):
    """A process of the group failed or is gone; the sentence says which (exit code 1)."""


def team_device(name: str | None, ranks: Ranks) -> torch.device:
    """The device of this process: with CUDA the one of its number on this machine."""
    device = pick_device(name)
    if ranks.size == 1 or device.type == "cpu":
        return device
    if device.type not in _DEVICES:
        raise InvalidInput(
            f"--device {device.type} is one device, which several processes cannot share; use cuda or cpu"
        )
    if ranks.beside > (gpus := torch.cuda.device_count()):
        raise InvalidInput(
            f"{ranks.beside} processes on this machine need as many GPUs, and it has {gpus}; start {gpus} with "
            "--nproc_per_node"
        )
    return torch.device("cuda", ranks.local)


@contextmanager
def started(sharing: Sharing, device: torch.device) -> Iterator[Team]:
    """For the length of the block the group of torchrun's processes works; one process alone needs none.

    When one raises, the others end within ``END_SECONDS``; when one is killed or hangs, within ``ANSWER_SECONDS`` and
    that. Rank 0 raises ``GroupBroken`` with the reason; the others end silently.
    """
    ranks = ranks_here()
    if sharing == NOTHING:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, _, _ = next(rendezvous("env://", timeout=_PATIENCE))
    watch = Watch(store.clone(), ranks, answer_seconds=ANSWER_SECONDS)
    dist.init_process_group(
        _DEVICES[device.type],
        store=c10d.PrefixStore("wan/group", store),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=_PATIENCE,
    )
    watch.start()
    try:
        yield Team(ranks=ranks, sharing=sharing, device=device)
    except BaseException as error:
        reason = watch.failed(error)
        if reason is None or not isinstance(error, Exception):
            raise
        raise GroupBroken(reason) from error
    else:
        watch.end()
        dist.destroy_process_group()


class Watch(threading.Thread):
    """Gives signs of life, looks for those of the others, and ends this process when one of them is lost."""

    def __init__(self, store: c10d.Store, ranks: Ranks, *, answer_seconds: float) -> None:
        super().__init__(name="watch", daemon=True)
        self._store = c10d.PrefixStore("wan/watch", store)
        self._ranks = ranks
        self._answer_seconds = answer_seconds
        self._ended = threading.Event()
        self._reason: str | None = None

    def run(self) -> None:
        seen = {rank: ("", time.monotonic()) for rank in range(self._ranks.size) if rank != self._ranks.rank}
        beat = 0
        while self._reason is None and not self._ended.wait(_BEAT_SECONDS):
            beat += 1
            try:
                self._store.set(self._key(self._ranks.rank), str(beat))
                self._reason = self._said() or self._silent(seen)
            except RuntimeError:  # whoever kept the store is gone
                self._reason = "the process that started the group is gone"
        if self._reason is not None and not self._ended.is_set():
            self._end_process(self._reason)

    def end(self) -> None:
        """This process is done; the others need not wait for it."""
        self._ended.set()
        with suppress(RuntimeError):
            self._store.set(self._key(self._ranks.rank), "done")

    def failed(self, error: BaseException) -> str | None:
        """What another process says went wrong, where this one's error is only the answer to it; else None, and the
        others are told of this one's."""
        is_answer = isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError | WanError)
        if is_answer and _speaks_of_peers(error):
            reason = self._wait_for_reason()
            self._ended.set()
            return reason
        self._ended.set()
        said = str(error).strip() or type(error).__name__
        with suppress(RuntimeError):
            self._store.set(_FAILED, f"rank {self._ranks.rank} of {self._ranks.size} failed: {said}")
        return None

    def _wait_for_reason(self) -> str:
        until = time.monotonic() + 2 * _BEAT_SECONDS
        while self._reason is None and time.monotonic() < until:
            with suppress(RuntimeError):
                self._reason = self._said()
            time.sleep(0.05)
        return self._reason or (
            f"one of the {self._ranks.size} processes of this run is gone (killed, or out of memory); the run folder "
            "keeps what was computed"
        )

    def _said(self) -> str | None:
        return self._store.get(_FAILED).decode() if self._store.check([_FAILED]) else None

    def _silent(self, seen: dict[int, tuple[str, float]]) -> str | None:
        now = time.monotonic()
        for rank, (value, since) in seen.items():
            beat = self._store.get(self._key(rank)).decode() if self._store.check([self._key(rank)]) else ""
            if beat != value:
                seen[rank] = beat, now
            elif beat != "done" and now - since > self._answer_seconds:
                return (
                    f"rank {rank} of {self._ranks.size} has not answered for {self._answer_seconds:g} s; the run "
                    "folder keeps what was computed"
                )
        return None

    def _end_process(self, reason: str) -> None:
        """The others have nothing to save; rank 0 first gets the chance to end by itself."""
        if self._ranks.leads and not self._ended.wait(END_SECONDS):
            sys.stderr.write(f"failed: {reason}\n")
        if not (self._ranks.leads and self._ended.is_set()):
            sys.stderr.flush()
            os._exit(1)

    @staticmethod
    def _key(rank: int) -> str:
        return f"beat/{rank}"


def _speaks_of_peers(error: BaseException) -> bool:
    """Whether a collective failed because of another process."""
    words = ("connection", "peer", "gloo", "nccl", "process group", "timed out", "store")
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in words)
