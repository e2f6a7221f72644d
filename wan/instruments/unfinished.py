"""Work of several cases that was stopped goes on in its folder, at the first case that is not done."""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from wan.errors import InvalidInput
from wan.runs.folders import claim_directory
from wan.runs.journal import Journal
from wan.runs.lock import hold

JOURNAL_NAME = "unfinished.jsonl"
_IDENTITY = "identity"


@dataclass(kw_only=True, slots=True)
class Unfinished:
    """A folder at work: ``journal`` has what is done, and is gone when all is; ``lock`` is held for the length of a
    ``with`` block."""

    directory: Path
    journal: Journal
    lock: FileLock

    @property
    def done(self) -> list[dict[str, Any]]:
        """The entries of finished cases, in order."""
        return [entry for entry in self.journal.entries if _IDENTITY not in entry]

    def finish(self) -> None:
        """All is written: another call of the command begins anew."""
        (self.directory / JOURNAL_NAME).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.lock.release()


def begin_or_continue(
    path: Path, *, flag: str, identity: str, overwrite: bool = False, stale: tuple[str, ...] = ()
) -> Unfinished:
    """The folder ``path``, ``path``-2, ... in which the same work was begun and nobody works now, or else a new one.

    InvalidInput, naming ``flag``, where none can be made.
    """
    for number in count(1):
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        if not candidate.exists() or overwrite:
            break
        found = _continued(candidate, identity)
        if found is not None:
            return found
    # with --overwrite nothing is removed under the hands of a process that still works there
    held = hold(path) if overwrite and path.is_dir() else None
    directory = claim_directory(path, flag=flag, overwrite=overwrite, stale=(*stale, JOURNAL_NAME))
    journal = Journal(directory / JOURNAL_NAME)
    journal.append({_IDENTITY: identity})
    return Unfinished(directory=directory, journal=journal, lock=held or hold(directory))


def _continued(directory: Path, identity: str) -> Unfinished | None:
    if not (directory / JOURNAL_NAME).is_file():
        return None
    try:
        lock = hold(directory)
    except (InvalidInput, OSError):
        return None
    journal = Journal(directory / JOURNAL_NAME)
    if not any(entry.get(_IDENTITY) == identity for entry in journal.entries):
        lock.release()
        return None
    return Unfinished(directory=directory, journal=journal, lock=lock)
