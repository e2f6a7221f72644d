"""A small file system of our own, where this machine allows one, and a limit of file sizes where it does not."""

import contextlib
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 4096


def can_mount(folder: Path) -> bool:
    """Whether a file system can be mounted here."""
    place = folder / "probe"
    try:
        with mounted(place, size=16 * BLOCK):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextlib.contextmanager
def mounted(place: Path, *, size: int) -> Iterator[Path]:
    """A file system in memory of so many bytes at ``place``; it is gone when the block ends."""
    place.mkdir(parents=True, exist_ok=True)
    _system("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        _system("umount", "--lazy", str(place))


def make_read_only(place: Path) -> None:
    """Nothing more can be written to a file system of ``mounted``."""
    _system("mount", "-o", "remount,ro", str(place))


def file_limit(number_of_bytes: int) -> Callable[[], None]:
    """For the start of a process: no file that it writes gets larger."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (number_of_bytes, number_of_bytes))


def blocks(number_of_bytes: int) -> int:
    """Bytes that a file takes on the disk."""
    return -(-number_of_bytes // BLOCK) * BLOCK


def _system(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
