"""The folder of one run: its name, and the names of the files in it."""

import unicodedata
from datetime import datetime
from itertools import count
from pathlib import Path

from wan.errors import InvalidInput

VIDEO_NAME = "video.mp4"
IMAGE_NAME = "image.png"
LATENTS_NAME = "latents.safetensors"
RECORD_NAME = "run.json"

# File systems count bytes, at most 255 in a name; a CJK character takes three.
MAX_SLUG_BYTES = 60
MAX_NAME_BYTES = 200
_COUNTER_BYTES = 8


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
    words = "".join(character if _belongs_to_word(character) else " " for character in text).split()
    return _cut("-".join(words), MAX_SLUG_BYTES) or "untitled"


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
