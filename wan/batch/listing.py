"""What the names in the folder of one segment say: which requests are claimed, and which have ended."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from wan.batch.results import END_SUFFIX
from wan.batch.segments import segment_name

DONE_SUFFIX = ".done"


@dataclass(slots=True)
class Listing:
    """``claims``: the highest number of a claim, by the request's place in its segment."""

    claims: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)


def list_segment(root: Path, number: int) -> Listing:
    """One directory listing; nothing is opened."""
    found = Listing()
    try:
        names = os.listdir(root / segment_name(number))
    except FileNotFoundError:  # its list is there, its folder is about to be made
        return found
    for name in names:
        place, _, kind = name.partition(".")
        if not place.isdigit():
            continue
        if f".{kind}" == END_SUFFIX:
            found.ended.add(int(place))
        elif kind[:1] == "c" and kind[1:].isdigit():
            found.claims[int(place)] = max(found.claims.get(int(place), 0), int(kind[1:]))
    return found


def done_path(root: Path, number: int) -> Path:
    """The file that says that every request of a segment has ended, and how many in which way."""
    return root / f"{segment_name(number)}{DONE_SUFFIX}"


def open_numbers(root: Path) -> list[int]:
    """The segments that are not done, in order; one directory listing."""
    names = os.listdir(root)
    done = {name.removesuffix(DONE_SUFFIX) for name in names if name.endswith(DONE_SUFFIX)}
    lists = {name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")}
    return sorted(int(name) for name in lists - done if name.isdigit())
