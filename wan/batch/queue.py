"""The queue: requests in a folder that any number of workers on any machines empty together, without a server.

``submit`` adds requests, ``claim`` hands some out to one worker, which keeps its claims alive and ends them
(``wan.batch.claims``); ``cancel``, ``retry`` and ``state`` are for whoever watches. All of it is files
(``wan.batch.claim_files``, ``wan.batch.segments``), so it survives every restart. The command, a page and a server are
faces of this one object.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from wan.batch.claim_files import ENDED, RELEASED, RUNNING, ClaimRecord, create_claim, read_claim
from wan.batch.claims import BEATS_IN_LEASE, Claim, claim_path, end_path
from wan.batch.clock import Clock, SystemClock
from wan.batch.identity import Worker
from wan.batch.leases import Leases
from wan.batch.listing import Listing, done_counts, done_path, list_segment, mark_done, open_numbers, worth_trying
from wan.batch.preferred import Preferred
from wan.batch.results import CANCELLED, Result, read_result, write_result
from wan.batch.segments import Entry, Segment, Segments, place_of, request_id, segment_name
from wan.errors import InvalidInput
from wan.runs import record as runs

QUEUE_FOLDER, WORKERS_FOLDER = "queue", "workers"
LEASE_SECONDS, RETRIES = 60.0, 2
WAITING, FINISHED = "waiting", runs.FINISHED
STATES = (WAITING, RUNNING, FINISHED, runs.FAILED, CANCELLED)
"""What a request can be: nobody works on it yet, somebody does, or one of the three ways to end."""

_Try = tuple[Segment, int, int]
"""A request that may be free: its segment, its place there, and the number of its last claim (0: none)."""
_SEGMENTS_IN_MEMORY = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One request as it is now. ``steps``: done so far, while it runs; ``result``: how it ended, once it has."""

    id: str
    entry: Entry
    state: str
    worker: str = ""
    steps: int = 0
    result: Result | None = None


def share_forwards(first: Entry, other: Entry) -> bool:
    """Whether two requests can go through the same forwards."""
    return bool(first.group) and first.group == other.group and first.session == other.session


class Queue:
    """The requests of one folder, as one worker, or one watcher, sees them. One thread uses it at a time.

    ``lease``: seconds of silence after which a worker of another machine is thought dead; on the same machine the
    kernel tells at once. ``retries``: how often a request that failed, or whose worker died, is tried again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        worker: Worker | None = None,
        lease: float = LEASE_SECONDS,
        retries: int = RETRIES,
        clock: Clock | None = None,
        most: int | None = None,
        alike: Callable[[Entry, Entry], bool] = share_forwards,
    ) -> None:
        """OSError when the folder cannot be made. ``most``: requests in one segment, where it is not the usual.
        ``alike``: whether two requests may be claimed together."""
        self.folder = folder
        self.root = folder / QUEUE_FOLDER
        self.root.mkdir(parents=True, exist_ok=True)
        self.lease = lease
        self.worker = worker or Worker("watcher")
        self._retries = retries
        self._clock = clock or SystemClock()
        self._segments = Segments(self.root, **({} if most is None else {"most": most}))
        self._preferred = Preferred(self.root)
        self._leases = Leases(self.root / WORKERS_FOLDER, lease=lease, clock=self._clock)
        self._alike = alike
        self._read: dict[int, Segment] = {}

    @property
    def beat_seconds(self) -> float:
        """How often a claim is to be kept alive."""
        return self.lease / BEATS_IN_LEASE

    def submit(self, entries: Iterable[Entry]) -> list[str]:
        """Add the requests that are not there yet, to be made in their order; the ids of all of them."""
        ids = self._segments.add(entries)
        for number in {place_of(one)[0] for one in ids}:
            self._base(number, 0).parent.mkdir(exist_ok=True)
        return ids

    def claim(self, count: int = 1) -> list[Claim]:
        """Up to ``count`` requests for this worker: the first that is free, and others that are like it; what is
        preferred is claimed with other preferred ones alone.

        An empty list: none is free now. Of several workers that want the same request one gets it.
        """
        for tries in chain([self._preferred_tries()], map(self._tries, self._open_segments())):
            claims: list[Claim] = []
            for segment, place, begun in tries:
                entry = segment.entries[place]
                if claims and (begun or not self._alike(claims[0].entry, entry)):
                    continue  # what was begun before, by itself, goes on so
                if claim := self._try(segment, place, begun):
                    claims.append(claim)
                    if len(claims) == count or begun or not self._alike(entry, entry):
                        return claims
            if claims:
                return claims
        return []

    def is_over(self) -> bool:
        """Whether every request has ended; segments that are done are marked on the way, and never listed again."""
        for segment in self._open_segments():
            listing = list_segment(self.root, segment.number)
            if len(listing.ended) < len(segment.entries):
                return False
            mark_done(self.root, segment.number, listing, count=len(segment.entries))
        return True

    def state(self, request: str) -> Status:
        """One request by its id; InvalidInput when there is none."""
        segment, place = self._find(request)
        return self._status(segment, place, list_segment(self.root, segment.number))

    def ended_at(self, request: str) -> float | None:
        """When a request ended, in Unix seconds of the machine that keeps the files; None when it has not."""
        segment, place = self._find(request)
        try:
            return end_path(self._base(segment.number, place)).stat().st_mtime
        except FileNotFoundError:
            return None

    def statuses(self, *, open_only: bool = False) -> Iterator[Status]:
        """Every request as it is now; ``open_only``: without the segments that are done."""
        for segment in self._open_segments() if open_only else map(self._segment, range(self._segments.count())):
            listing = list_segment(self.root, segment.number)
            for place in range(len(segment.entries)):
                yield self._status(segment, place, listing)

    def counts(self) -> dict[str, int]:
        """How many requests are in each state; of a segment that is done only one small file is read."""
        found = dict.fromkeys(STATES, 0)
        for number in range(self._segments.count()):
            for state, count in done_counts(self.root, number).items():
                found[state] = found.get(state, 0) + count
        for status in self.statuses(open_only=True):
            found[status.state] += 1
        return found

    def in_line(self) -> Iterator[Status]:
        """What waits or runs, in the order in which a worker that is free tries it."""
        found: dict[str, Status] = {}
        for segment in self._open_segments():
            listing = list_segment(self.root, segment.number)
            for place in worth_trying(listing, len(segment.entries)):
                found[request_id(segment.number, place)] = self._status(segment, place, listing)
        for request in self._preferred.ids():
            if request in found:
                yield found.pop(request)
        yield from found.values()

    def prefer(self, request: str) -> bool:
        """Have a waiting request claimed before all others that wait, those that were preferred before it too.

        It stays preferred until it ends, through every restart. False for one that runs or has ended.
        """
        if self.state(request).state != WAITING:
            return False
        self._preferred.put_first(request)
        return True

    def cancel(self, request: str) -> bool:
        """End a request that has not ended; its worker notices at its next step. False when it had ended."""
        segment, place = self._find(request)
        return write_result(end_path(self._base(segment.number, place)), Result(state=CANCELLED))

    def retry(self, request: str) -> bool:
        """Let a request that failed or was cancelled wait again, as if it had never been tried; False for others."""
        segment, place = self._find(request)
        status = self._status(segment, place, list_segment(self.root, segment.number))
        if status.state not in (runs.FAILED, CANCELLED):
            return False
        base, last = self._base(segment.number, place), list_segment(self.root, segment.number).claims.get(place, 0)
        create_claim(claim_path(base, last + 1), ClaimRecord(worker=self.worker.name, state=RELEASED))
        self._preferred.drop(request)
        end_path(base).unlink(missing_ok=True)
        done_path(self.root, segment.number).unlink(missing_ok=True)
        return True

    def _open_segments(self) -> Iterator[Segment]:
        return map(self._segment, open_numbers(self.root))

    def _tries(self, segment: Segment) -> Iterator[_Try]:
        listing = list_segment(self.root, segment.number)
        for place in worth_trying(listing, len(segment.entries)):
            yield segment, place, listing.claims.get(place, 0)

    def _preferred_tries(self) -> Iterator[_Try]:
        for request in self._preferred.ids():
            try:
                segment, place = self._find(request)
            except InvalidInput:  # none of this list, or its list cannot be read, which is said below
                continue
            listing = list_segment(self.root, segment.number)
            if place in listing.ended:
                self._preferred.drop(request)
            else:
                yield segment, place, listing.claims.get(place, 0)

    def _segment(self, number: int) -> Segment:
        if number not in self._read:
            if len(self._read) >= _SEGMENTS_IN_MEMORY:
                self._read.pop(next(iter(self._read)))
            self._read[number] = self._segments.read(number)
            self._base(number, 0).parent.mkdir(exist_ok=True)
        return self._read[number]

    def _find(self, request: str) -> tuple[Segment, int]:
        number, place = place_of(request)
        try:
            segment = self._segment(number)
        except FileNotFoundError:
            segment = Segment(number, ())
        if place >= len(segment.entries):
            raise InvalidInput(f"there is no request {request} in {self.folder}")
        return segment, place

    def _base(self, number: int, place: int) -> Path:
        return self.root / segment_name(number) / f"{place:03d}"

    def _try(self, segment: Segment, place: int, last: int) -> Claim | None:
        """Claim one request, the last claim of which has that number (0: none); None when it is not free."""
        base, before = self._base(segment.number, place), ClaimRecord(worker="")
        if last:
            found = self._leases.left_behind(claim_path(base, last), last)
            if found is None:
                return None
            before = found
            if before.attempts > self._retries:
                write_result(end_path(base), Result(state=runs.FAILED, **_last_words(before)))
                return None
        record = ClaimRecord(
            worker=self.worker.name,
            kernel=self.worker.kernel,
            steps=before.steps,
            begun=before.steps,
            attempts=before.attempts,
        )
        if not create_claim(claim_path(base, last + 1), record):
            return None
        claim = Claim(
            id=request_id(segment.number, place),
            entry=segment.entries[place],
            number=last + 1,
            base=base,
            record=record,
            clock=self._clock,
            lease=self.lease,
        )
        if end_path(base).exists():  # it ended between the listing and the claim
            claim.drop()
            return None
        return claim

    def _status(self, segment: Segment, place: int, listing: Listing) -> Status:
        base, known = self._base(segment.number, place), request_id(segment.number, place)
        status = Status(id=known, entry=segment.entries[place], state=WAITING)
        if place in listing.ended:
            result = read_result(end_path(base))
            return replace(status, state=result.state, worker=result.worker, result=result)
        if last := listing.claims.get(place, 0):
            record = read_claim(claim_path(base, last))[1]
            if record is None or record.state in (RUNNING, ENDED):
                worker, steps = (record.worker, record.steps) if record else ("", 0)
                return replace(status, state=RUNNING, worker=worker, steps=steps)
        return status


def _last_words(record: ClaimRecord) -> dict[str, Any]:
    return {"error": record.error, "worker": record.worker, "attempts": record.attempts}
