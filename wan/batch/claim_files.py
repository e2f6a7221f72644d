"""Claim files: who works on a request. Made exclusively, kept alive by rewriting, read by whoever wants the request.

A request's claims are numbered: ``007.c1``, then ``007.c2`` when the first worker failed or died. The file of a number
is made with ``O_CREAT | O_EXCL``, which the server of a network file system decides (NFS from version 3 on), so that of
all workers that see a dead claim one gets the next number. A claim is kept alive by rewriting it in place: opening a
file makes an NFS client ask its server for the newest content, while the name of a replaced file may be stale for a
minute.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

RECORD_BYTES = 1024
"""A claim file always has this length, so that rewriting it never leaves the end of an older text."""
_ERROR_CHARACTERS = 400

RUNNING, RELEASED, FAILED, ENDED = "running", "released", "failed", "ended"
"""What has become of one claim. Released: given back unharmed, it counts for no attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRecord:
    """The content of a claim file. ``beat`` grows with every rewriting; ``steps``: of the request, done so far.

    ``begun``: the steps that were done when the claim was made. ``attempts``: how often the request failed before, or
    its worker died without having got any further.
    """

    worker: str
    state: str = RUNNING
    beat: int = 0
    steps: int = 0
    begun: int = 0
    attempts: int = 0
    kernel: str = ""
    error: str = ""

    def next_beat(self, **changes: Any) -> "ClaimRecord":
        """The record of the next rewriting."""
        return replace(self, beat=self.beat + 1, **changes)

    def as_bytes(self) -> bytes:
        """One line of JSON, filled up with spaces."""
        error = self.error.encode("ascii", errors="backslashreplace").decode()[:_ERROR_CHARACTERS]
        text = json.dumps(asdict(replace(self, error=error)))
        return text.ljust(RECORD_BYTES - 1).encode("ascii") + b"\n"


def create_claim(path: Path, record: ClaimRecord) -> bool:
    """Make the claim file; False when another worker has made it before. OSError when it cannot be written."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    _write(file, record)
    return True


def rewrite_claim(path: Path, record: ClaimRecord) -> None:
    """Put a newer record into a claim file that is there; OSError when that fails."""
    _write(os.open(path, os.O_WRONLY), record)


def read_claim(path: Path) -> tuple[bytes, ClaimRecord | None]:
    """The bytes of a claim file, by which a change is seen, and its record; None for one that is being written.

    FileNotFoundError when there is no such claim.
    """
    content = path.read_bytes()
    try:
        found = json.loads(content)
    except ValueError:
        return content, None
    return content, _record(found)


def _record(found: Any) -> ClaimRecord | None:
    if not isinstance(found, Mapping) or set(found) != set(ClaimRecord.__slots__):
        return None
    kinds = {name: type(getattr(_EXAMPLE, name)) for name in ClaimRecord.__slots__}
    return ClaimRecord(**found) if all(type(found[name]) is kind for name, kind in kinds.items()) else None


def _write(file: int, record: ClaimRecord) -> None:
    try:
        os.write(file, record.as_bytes())
    finally:
        os.close(file)  # NFS sends what was written when the file is closed


_EXAMPLE = ClaimRecord(worker="")
