"""Where instruments write: somebody's results are never written over unasked."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from wan.errors import InvalidInput


def refuse_existing(path: Path | None, *, flag: str) -> None:
    """``InvalidInput`` when the file that a flag names is there already; before the work whose result it would hold."""
    if path is not None and path.exists():
        raise InvalidInput(f"{flag} {path} exists, and nothing is overwritten unasked; give another name, or remove it")


def claim_directory(path: Path, *, flag: str, overwrite: bool = False, stale: Sequence[str] = ()) -> Path:
    """Make and return a folder for results: ``path``, or ``path``-2, -3, ... when it already holds something.

    With ``overwrite`` it is ``path`` itself, and files there that match a pattern of ``stale`` are removed: what an
    earlier run of the same instrument left and this one may not replace. Raises InvalidInput, naming ``flag``.
    """
    try:
        if overwrite:
            return _emptied(path, stale)
        for attempt in count(1):
            candidate = path if attempt == 1 else path.with_name(f"{path.name}-{attempt}")
            if _claimed(candidate):
                return candidate
    except OSError as error:
        raise InvalidInput(
            f"{flag} {path} cannot hold results ({error.strerror or error}): it must be a folder that you may write "
            "to; give another one"
        ) from error
    raise AssertionError("count() does not end")


def _claimed(path: Path) -> bool:
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        # an empty folder is as good as a new one; a file of that name is not
        return path.is_dir() and not any(path.iterdir())
    return True


def _emptied(path: Path, stale: Sequence[str]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for pattern in stale:
        for file in path.glob(pattern):
            file.unlink()
    return path
