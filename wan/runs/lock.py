"""One process works in a run folder at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wan.errors import InvalidInput

LOCK_NAME = ".lock"


class FolderBusy(InvalidInput):
    """Another process works in the folder."""


@contextmanager
def working_in(directory: Path) -> Iterator[None]:
    """Hold the folder for the length of the block; FolderBusy when another process does."""
    lock = hold(directory)
    try:
        yield
    finally:
        lock.release()


def hold(directory: Path) -> FileLock:
    """Hold the folder until the lock is released; FolderBusy when another process does.

    The system lets go of it when a process ends, however it ends.
    """
    lock = FileLock(directory / LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderBusy(
            f"{directory} is being worked on by another process; wait until it ends, or stop it first"
        ) from None
    return lock
