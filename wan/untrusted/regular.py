"""Only regular files are opened: a pipe would be waited for without end, a device be read without end."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from wan.untrusted.refusal import Refused

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_REASONS = {errno.ELOOP: "it is a link that leads to itself", errno.ENAMETOOLONG: "its name is too long"}


def is_regular(path: Path) -> bool:
    """Whether a file is there that can be opened; False also where looking for it fails."""
    return why_unusable(path) is None


def why_unusable(path: Path) -> str | None:
    """Why ``path`` cannot be opened as a file ("it is a named pipe"); None for a regular file that may be read."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return "it is a link that leads nowhere" if path.is_symlink() else "it is missing"
    except (OSError, ValueError) as error:
        return _reason(error)
    if kind != stat.S_IFREG:
        return f"it is {_KINDS.get(kind, 'no regular file')}"
    return None if os.access(path, os.R_OK) else "there is no permission to read it"


def open_regular(path: Path) -> BinaryIO:
    """The file for reading bytes; ``Refused`` for anything that is no regular file, or that may not be read."""
    if reason := why_unusable(path):
        raise Refused(reason)
    try:
        # a pipe that took the file's place meanwhile would be opened without waiting
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise Refused(_reason(error)) from error
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Refused("it is no regular file")
    return file


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "there is no permission to read it"
    number = error.errno if isinstance(error, OSError) else None
    return _REASONS.get(number or 0, f"it cannot be opened ({getattr(error, 'strerror', None) or error})")
