"""What the names in the folder of one segment say: which requests are claimed, which have ended, and if all have."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from wan.batch.results import END_SUFFIX, ENDINGS, read_result
from wan.batch.segments import segment_name
from wan.errors import InvalidInput
from wan.runs.atomic import write_json_atomic
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused

DONE_SUFFIX = ".done"
_LOOKED_AFTER = 4


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


def worth_trying(listing: Listing, count: int) -> list[int]:
    """The places of a segment in the order in which a worker tries them: a few that were begun, for they may be left
    behind, what nobody has begun, and only when that is taken all that others hold. Otherwise every worker would look
    after the claims of all others."""
    begun = sorted(listing.claims.keys() - listing.ended)
    fresh = [place for place in range(count) if place not in listing.claims and place not in listing.ended]
    return begun[:_LOOKED_AFTER] + fresh + begun[_LOOKED_AFTER:]


def done_path(root: Path, number: int) -> Path:
    """The file that says that every request of a segment has ended, and how many in which way."""
    return root / f"{segment_name(number)}{DONE_SUFFIX}"


def mark_done(root: Path, number: int, listing: Listing, *, count: int) -> None:
    """Say in one file that all ``count`` requests of a segment have ended, so that nobody lists it again."""
    found = dict.fromkeys(ENDINGS, 0)
    for place in sorted(listing.ended):
        found[read_result(root / segment_name(number) / f"{place:03d}{END_SUFFIX}").state] += 1
    write_json_atomic(done_path(root, number), found)
    if len(list_segment(root, number).ended) < count:
        done_path(root, number).unlink(missing_ok=True)  # somebody retries one meanwhile


def done_counts(root: Path, number: int) -> dict[str, int]:
    """How many requests of a segment have ended in which way; empty when it is not done. InvalidInput for a damaged
    file."""
    path = done_path(root, number)
    if not path.exists():
        return {}
    try:
        found = read_json_object(path)
    except Refused as error:
        raise InvalidInput(f"{path} is damaged ({error}); remove it, and it is written again") from error
    return {name: int(count) for name, count in found.items()}


def open_numbers(root: Path) -> list[int]:
    """The segments that are not done, in order; one directory listing."""
    names = os.listdir(root)
    done = {name.removesuffix(DONE_SUFFIX) for name in names if name.endswith(DONE_SUFFIX)}
    lists = {name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl")}
    return sorted(int(name) for name in lists - done if name.isdigit())
