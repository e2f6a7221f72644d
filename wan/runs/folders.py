"""Folders for runs and for results: how they are named, and that nobody's results are written over unasked."""

import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

from wan.errors import InvalidInput
from wan.runs.writable import refuse_unwritable_folder

VIDEO_NAME = "video.mp4"
IMAGE_NAME = "image.png"
LATENTS_NAME = "latents.safetensors"
RECORD_NAME = "run.json"
PREVIEW_NAME = "preview.webp"

# File systems count bytes, at most 255 in a name; a CJK character takes three.
MAX_SLUG_BYTES = 60
MAX_NAME_BYTES = 200
_COUNTER_BYTES = 8
CLAIM_NAME = ".claimed"
"""The empty file that the one process makes to which a folder of results belongs."""


def create_run_directory(output_dir: Path, *, task: str, prompt: str, now: datetime) -> Path:
    """Make and return ``<output_dir>/<task>_<YYYYmmdd-HHMMSS>_<prompt slug>``, with -2, -3, ... when it exists.

    Two runs that start at once get two folders. Raises InvalidInput when the folder cannot be made.
    """
    name = _cut(f"{task}_{now:%Y%m%d-%H%M%S}_{prompt_slug(prompt)}", MAX_NAME_BYTES - _COUNTER_BYTES)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        return _make_unique(output_dir, name)
    except OSError as error:
        raise InvalidInput(
            f"--output_dir {output_dir} cannot hold a run folder ({error.strerror or error}): "
            "it must be a folder that you may write to; give another one"
        ) from error


def prompt_slug(prompt: str) -> str:
    """Letters and digits of any script, everything else as single '-'; at most 60 UTF-8 bytes; never empty."""
    text = unicodedata.normalize("NFC", prompt)
    # in the plainest locale file names are ASCII
    text = text.encode(sys.getfilesystemencoding(), errors="replace").decode(sys.getfilesystemencoding())
    words = "".join(character if _belongs_to_word(character) else " " for character in text).split()
    return _cut("-".join(words), MAX_SLUG_BYTES) or "untitled"


def refuse_existing(path: Path | None, *, flag: str) -> None:
    """``InvalidInput`` when the file that a flag names is there already; before the work whose result it would hold."""
    if path is not None and path.exists():
        raise InvalidInput(f"{flag} {path} exists, and nothing is overwritten unasked; give another name, or remove it")


def claim_directory(path: Path, *, flag: str, overwrite: bool = False, stale: Sequence[str] = ()) -> Path:
    """Make and return a folder for results: ``path``, or ``path``-2, -3, ... when it already holds something.

    With ``overwrite`` it is ``path`` itself, and files there that match a pattern of ``stale`` are removed: what an
    earlier run of the same instrument left and this one may not replace. Raises InvalidInput, naming ``flag``.
    """
    refuse_unwritable_folder(path, flag=flag)
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


def _make_unique(output_dir: Path, name: str) -> Path:
    for attempt in count(1):
        directory = output_dir / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            directory.mkdir(exist_ok=False)
        except FileExistsError:
            continue
        return directory
    raise AssertionError("count() does not end")


def _belongs_to_word(character: str) -> bool:
    # M: combining marks; without them Devanagari or Thai words fall apart.
    return unicodedata.category(character)[0] in "LNM"


def _cut(text: str, max_bytes: int) -> str:
    return text.encode("utf-8")[:max_bytes].decode("utf-8", errors="ignore").strip("-")


def _claimed(path: Path) -> bool:
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        # an empty folder is as good as a new one; a file of that name is not
        if not path.is_dir() or any(path.iterdir()):
            return False
    try:
        # of several processes that find it empty at once one gets it
        (path / CLAIM_NAME).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _emptied(path: Path, stale: Sequence[str]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for pattern in stale:
        for file in path.glob(pattern):
            file.unlink()
    return path
