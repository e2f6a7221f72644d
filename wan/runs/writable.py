"""Whether results can be written to a place, found out before the work whose results they are; leaves nothing there."""

import errno
import os
import tempfile
from pathlib import Path

from wan.errors import InvalidInput

_NAME_BYTES = 255


def refuse_unwritable_folder(path: Path, *, flag: str) -> None:
    """``InvalidInput`` when ``path`` is no folder that can be written to, and none that can be made."""
    if reason := _why_not_folder(path):
        raise InvalidInput(
            f"{flag} {path} cannot hold results ({reason}): it must be a folder that you may write to; give another one"
        )


def refuse_unwritable_file(path: Path, *, flag: str) -> None:
    """``InvalidInput`` when no file can be written under that name: it is a folder, or its own folder takes none."""
    reason = "it is a folder" if path.is_dir() else _why_not_folder(path.parent) or _why_not_name(path, path.parent)
    if reason:
        raise InvalidInput(f"{flag} {path} cannot be written ({reason}); give a file in a folder that you may write to")


def _why_not_folder(path: Path) -> str | None:
    try:
        # stat says it too, but only where the folders before it are there
        ancestor = next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))
        if not ancestor.is_dir():
            return f"{ancestor} is not a folder"
        if reason := _why_not_name(path, ancestor):
            return reason
        with tempfile.TemporaryFile(dir=ancestor):
            return None
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a NUL character
        return str(error)


def _why_not_name(path: Path, folder: Path) -> str | None:
    """A name that its file system does not take."""
    try:
        os.lstat(path)
        return None
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            return error.strerror or str(error)
    most = os.pathconf(folder, "PC_NAME_MAX") if hasattr(os, "pathconf") and folder.is_dir() else _NAME_BYTES
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    return f"a name of {longest} bytes, {most} are the most" if longest > most else None
