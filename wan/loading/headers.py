"""Weight files read by their headers alone: names and shapes of the tensors, and whether the file is whole."""

import json
import struct
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from wan.errors import CheckpointError

SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".bin")

_LENGTH_BYTES = 8
_LFS_MAGIC = b"version https://git-lfs"
_MAX_HEADER_BYTES = 100 * 2**20  # the format's own limit


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of a safetensors file; CheckpointError when it is damaged or shorter than its header says."""
    entries, data_start = _read_header(path)
    try:
        expected = data_start + max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error!r}); download that file again") from error
    size = path.stat().st_size
    if size < expected:
        raise CheckpointError(
            f"{path} has {size:,} of {expected:,} bytes, its download was cut short; run the download again, it resumes"
        )
    if size > expected:
        raise CheckpointError(f"{path} has {size:,} bytes where its header says {expected:,}; download that file again")
    return shapes


def check_whole(path: Path) -> None:
    """CheckpointError when a weight file is missing, cut short or not what its name says; reads no tensor."""
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; run the download again, it resumes")
    if is_lfs_pointer(path):
        raise CheckpointError(
            f"{path} is a Git LFS pointer of {path.stat().st_size} bytes, not the weights that it stands for; "
            "run `git lfs pull` in its folder, or the download"
        )
    if path.suffix == SAFETENSORS_SUFFIX:
        read_shapes(path)
    elif not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path} is not a whole torch file (a zip archive, whose directory is at its end); download it again"
        )


def is_lfs_pointer(path: Path) -> bool:
    """Whether a clone without git-lfs left its stand-in for the file."""
    with path.open("rb") as file:
        return file.read(len(_LFS_MAGIC)) == _LFS_MAGIC


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """(tensor entries, offset of the first data byte), read once for every state of the file."""
    try:
        state = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}); download that file again") from error
    return _header_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _header_of_state(path: Path, size: int, modified_ns: int) -> tuple[dict[str, Any], int]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(_LENGTH_BYTES))
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length:,} bytes")
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        return entries, _LENGTH_BYTES + length
    except (OSError, ValueError, struct.error, AttributeError) as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error}); download that file again") from error
