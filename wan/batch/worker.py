"""A worker: claims requests until every one has ended, lets them be made, and ends each claim by what came of it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from wan.batch.claims import Cancelled, Claim, ClaimLost, Heartbeat
from wan.batch.clock import Clock
from wan.batch.queue import Queue
from wan.runs.lock import FolderBusy

CLAIM_LEFT = (Cancelled, ClaimLost)
"""What ends the work on a request without a word about it: it is another's now, or nobody wants it."""
Outcome = str | Exception
"""The file that was made, or why it was not."""


class Maker(Protocol):
    """Makes what requests ask for."""

    def make(self, claims: Sequence[Claim], *, check: Callable[[Claim], None]) -> list[Outcome]:
        """One outcome for each claim. ``check`` is called between steps, and raises when a request must be left."""


class Watcher(Protocol):
    """Is told when something has changed."""

    def changed(self, *, last: bool = False) -> None:
        """A request was claimed or has ended; ``last``: this worker has nothing left to do."""


def work(
    queue: Queue,
    maker: Maker,
    *,
    batch_size: int,
    clock: Clock,
    watcher: Watcher,
    serves: Callable[[], bool] = lambda: False,
) -> None:
    """Until every request of the queue has ended, by this worker or by another.

    Where others hold all that is left, it waits: a worker that dies loses its claims. As long as ``serves`` says so it
    also waits for requests that are yet to come.
    """

    def goes_on() -> bool:
        return not queue.is_over() or serves()

    try:
        while goes_on():
            claims = queue.claim(batch_size)
            watcher.changed()
            has_worked = bool(claims) and _make(queue, maker, claims)
            if not has_worked and goes_on():
                clock.sleep(queue.beat_seconds / 2)
    finally:
        watcher.changed(last=True)


def _make(queue: Queue, maker: Maker, claims: Sequence[Claim]) -> bool:
    """Whether any of the claims could be worked on."""
    left, outcomes = list(claims), list[Outcome]()
    with Heartbeat(claims, seconds=queue.beat_seconds) as heartbeat:
        try:
            for claim, outcome in zip(claims, maker.make(claims, check=heartbeat.check), strict=True):
                left.remove(claim)
                outcomes.append(outcome)
                _end(claim, outcome)
        finally:
            for claim in left:  # stopped from outside: what is on disk goes on where it is
                claim.release()
    return not all(isinstance(outcome, FolderBusy) for outcome in outcomes)


def _end(claim: Claim, outcome: Outcome) -> None:
    try:
        if isinstance(outcome, str):
            claim.finish(file=outcome)
        elif isinstance(outcome, FolderBusy):
            claim.release()  # a worker that was thought dead is still in there
        elif isinstance(outcome, Cancelled):
            claim.drop()
        elif not isinstance(outcome, ClaimLost):
            claim.fail(sentence_of(outcome))
    except ClaimLost:
        pass  # the worker that took it over finds what this one has made


def sentence_of(error: Exception) -> str:
    """One line about what went wrong."""
    return " ".join(f"{type(error).__name__}: {error}".split())
