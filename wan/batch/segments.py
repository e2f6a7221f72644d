"""The list of requests on disk: numbered files that are only ever added, at most 1,000 requests in each.

A file is written under a temporary name and linked to the next free number, which one of several writers gets. The
others read it, leave out what it holds, and try the number after it. So the same list can be handed in by any number of
workers at once, and every request stands in it once.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path

MOST_IN_SEGMENT = 1000
_SUFFIX = ".jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One request of the queue.

    ``key`` tells it from all others: a request whose key is there already is not added again. ``folder`` is the name of
    its run folder, ``argv`` the flags of the request, ``source`` where it came from, for people. ``price``: planned
    FLOPs. ``session``: requests with the same can be made with the same loaded models; ``group``: with the same, not
    empty, they can share forwards.
    """

    key: str
    folder: str
    argv: tuple[str, ...]
    source: str
    prompt: str
    price: float = 0.0
    session: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """One numbered file and its requests, in the order in which they are to be made."""

    number: int
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        return segment_name(self.number)


def segment_name(number: int) -> str:
    """000012"""
    return f"{number:06d}"


class Segments:
    """The list in a folder. What was read once is not read again: segments never change."""

    def __init__(self, folder: Path, *, most: int = MOST_IN_SEGMENT) -> None:
        self._folder = folder
        self._most = most
        self._ids: dict[str, str] = {}
        self._next = 0

    def count(self) -> int:
        """How many segments there are."""
        names = [name.removesuffix(_SUFFIX) for name in os.listdir(self._folder) if name.endswith(_SUFFIX)]
        numbers = [int(name) for name in names if name.isdigit()]
        return max(numbers, default=-1) + 1

    def read(self, number: int) -> Segment:
        """One segment; InvalidInput when it is damaged, FileNotFoundError when there is none."""
        path = self._path(number)
        try:
            entries = tuple(_entry(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidInput(
                f"{path} is not a list of requests ({error}); remove the folder {self._folder}, and the batch begins "
                "its list anew: what is finished is found again"
            ) from error
        return Segment(number, entries)

    def add(self, entries: Iterable[Entry]) -> list[str]:
        """Append the requests that are not there yet, in their order; the ids of all of them, in their order.

        OSError when the folder cannot be written to.
        """
        asked = list(entries)
        known = self._known()
        new = [entry for entry in asked if entry.key not in known]
        while new:
            self._publish(self._next, new[: self._most])  # where another writer was first, its list is read
            known = self._known()
            new = [entry for entry in new if entry.key not in known]
        return [known[entry.key] for entry in asked]

    def _known(self) -> dict[str, str]:
        """The id of every key; only segments that are new are read."""
        for number in range(self._next, self.count()):
            self._ids |= _ids(self.read(number))
            self._next = number + 1
        return self._ids

    def _publish(self, number: int, entries: Sequence[Entry]) -> None:
        """Give a segment a number; nothing when another writer has taken that."""
        text = "".join(json.dumps(asdict(entry), ensure_ascii=True) + "\n" for entry in entries)
        with suppress(FileExistsError), atomic_path(self._path(number), overwrite=False) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _path(self, number: int) -> Path:
        return self._folder / f"{segment_name(number)}{_SUFFIX}"


def request_id(number: int, place: int) -> str:
    """The id of a request: its segment, and its place in it from 0."""
    return f"{segment_name(number)}-{place:03d}"


def place_of(request: str) -> tuple[int, int]:
    """Segment and place of an id; InvalidInput for what is none."""
    number, dash, place = request.partition("-")
    if not (dash and number.isascii() and number.isdigit() and place.isascii() and place.isdigit()):
        raise InvalidInput(f"{request!r} is not the id of a request; ids look like 000000-017")
    return int(number), int(place)


def _ids(segment: Segment) -> dict[str, str]:
    return {entry.key: request_id(segment.number, place) for place, entry in enumerate(segment.entries)}


def _entry(found: Mapping[str, Any]) -> Entry:
    return Entry(**{**found, "argv": tuple(found["argv"])})
