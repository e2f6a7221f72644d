"""Atomic writes: a temporary file, fsync, rename; a file under its final name is always whole."""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

PARTIAL_PATTERN = ".partial-*"
"""The temporary files of a process that was killed while it wrote."""


@contextmanager
def atomic_path(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path``, with its suffix; it becomes ``path`` on success and is removed on failure.

    Missing parent folders are made: a finished run is not lost for want of a folder. Raises OSError; without
    ``overwrite`` FileExistsError when another process has made ``path`` meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The stem is left out: a name of the longest length that the file system takes would not fit with a prefix.
    temporary = path.parent / f".partial-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}"
    try:
        yield temporary
        _flush_to_disk(temporary)
        if overwrite or not _linked(temporary, path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8; OSError when it cannot be written."""
    # An argument that was not valid UTF-8 reaches Python as lone surrogates: they are written as \udcXX.
    content = text.encode("utf-8", errors="backslashreplace")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json_atomic(path: Path, value: object) -> None:
    """Replace ``path`` by ``value`` as strict JSON; ValueError for NaN or infinity, TypeError for what JSON lacks."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_path_as_text)
    write_text_atomic(path, text + "\n")


def _linked(temporary: Path, path: Path) -> bool:
    """Give a file a second name that nothing has; False where the file system has no such names."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        return False
    return True


def _flush_to_disk(path: Path) -> None:
    # Without this the rename can reach the disk before the content does.
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _path_as_text(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: {value!r}")
