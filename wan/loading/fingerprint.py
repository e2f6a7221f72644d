"""Tell weight files apart without reading them whole, and remember in a folder what was put there."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wan.runs.atomic import write_json_atomic
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused

MANIFEST_NAME = ".wan-files.json"

_HEAD_BYTES = 64 * 2**10
_BLOCK_BYTES = 4 * 2**10
_BLOCKS = 16


def fingerprint(path: Path) -> str:
    """sha256 over a file's size, its first 64 KiB and 16 blocks of 4 KiB spread evenly to its very end.

    Milliseconds for any size. Two experts of one model differ in every block of every weight, so equal fingerprints
    mean the same file; a damaged block can be missed. Raises OSError.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_HEAD_BYTES))
        for block in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK_BYTES) * block // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """``MANIFEST_NAME`` in a checkpoint directory: what the download or the conversion put there.

    ``made_by`` is the command that makes or completes it, ``origin`` identifies what it was made from, ``files`` maps
    names relative to the directory to fingerprints.
    """

    made_by: str
    origin: str
    finished: bool
    files: Mapping[str, str] = field(default_factory=dict)


def read_manifest(directory: Path) -> Manifest | None:
    """None when there is none, or none that can be read."""
    try:
        content = read_json_object(directory / MANIFEST_NAME)
        manifest = Manifest(**content)
    except (Refused, TypeError):
        return None
    words = (manifest.made_by, manifest.origin, *_texts(manifest.files))
    return manifest if all(isinstance(word, str) for word in words) and isinstance(manifest.finished, bool) else None


def _texts(files: object) -> list[object]:
    """Names and fingerprints; something that is no text where there is no such table."""
    return [*files, *files.values()] if isinstance(files, dict) else [None]


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the directory's manifest; OSError when it cannot be written."""
    write_json_atomic(directory / MANIFEST_NAME, asdict(manifest))
