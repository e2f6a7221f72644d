"""Whether the worker of a claim is dead: by its silence, measured with the watcher's own clock, or by its kernel.

No clock is compared with another machine's. A watcher remembers what a claim file held when it first saw it so; if that
has not changed for a whole lease by the watcher's own clock, the claim is dead.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from wan.batch.claim_files import ENDED, FAILED, RELEASED, ClaimRecord, read_claim
from wan.batch.clock import Clock
from wan.batch.identity import lives

_LOOKS_IN_LEASE = 8
_MOST_REMEMBERED = 10_000
_DIED = "its worker died while it was made"


@dataclass(slots=True)
class _Seen:
    content: bytes
    since: float
    looked: float


class Leases:
    """What one watcher remembers of the claims of others. ``workers``: the folder of their locks."""

    def __init__(self, workers: Path, *, lease: float, clock: Clock) -> None:
        self._workers = workers
        self._lease = lease
        self._clock = clock
        self._seen: dict[Path, _Seen] = {}

    def left_behind(self, path: Path, number: int) -> ClaimRecord | None:
        """The last claim of a request, of that number, as the next one finds it, its attempts counted; None while it is
        alive."""
        if not self.is_due(path):
            return None
        content, record = read_claim(path)
        if record is not None and record.state == RELEASED:
            return record
        if record is not None and record.state == FAILED:
            return replace(record, attempts=record.attempts + 1)
        if (record is not None and record.state == ENDED) or not self.is_dead(path, content, record):
            return None
        if record is None:  # its worker died before it had written a word
            return ClaimRecord(worker="", attempts=number, error=_DIED)
        is_new_ground = record.steps > record.begun
        return replace(record, attempts=record.attempts + (0 if is_new_ground else 1), error=_DIED)

    def is_due(self, path: Path) -> bool:
        """Whether the claim is worth another look: not more often than a few times in a lease."""
        seen = self._seen.get(path)
        return seen is None or self._clock.now() - seen.looked >= self._lease / _LOOKS_IN_LEASE

    def is_dead(self, path: Path, content: bytes, record: ClaimRecord | None) -> bool:
        """Whether the claim that has this content now belongs to nobody any more."""
        known = None if record is None else lives(self._workers, name=record.worker, kernel=record.kernel)
        now, seen = self._clock.now(), self._seen.get(path)
        if seen is None or seen.content != content:
            self._remember(path, _Seen(content, since=now, looked=now))
            return known is False
        seen.looked = now
        return now - seen.since > self._lease if known is None else not known

    def _remember(self, path: Path, seen: _Seen) -> None:
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        self._seen[path] = seen
