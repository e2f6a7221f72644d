"""The header of a safetensors file, checked as the format demands: no gap, no overlap, no byte outside of the file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.regular import open_regular
from wan.untrusted.tensor_entry import BITS, TensorEntry, is_shape, is_size

MAX_HEADER_BYTES = 100 * 2**20
"""The format's own limit."""
_LENGTH_BYTES = 8
_FIELDS = {"dtype", "shape", "data_offsets"}
_METADATA = "__metadata__"


class CutShort(Refused):
    """The file has less bytes than its header says."""


@dataclass(frozen=True, slots=True)
class Header:
    """``metadata`` is what the file's author wrote: text to compare, never to believe."""

    tensors: Mapping[str, TensorEntry]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Names, types and shapes of all tensors; ``Refused`` (``CutShort``) says why the file is not to be read."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size < _LENGTH_BYTES:
            raise Refused("it is empty" if not size else f"it has {size} bytes, fewer than any header")
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > MAX_HEADER_BYTES:
            raise Refused(f"its header would have {length:,} bytes, and none may have over {MAX_HEADER_BYTES:,}")
        if length > size - _LENGTH_BYTES:
            raise CutShort(f"it has {size:,} bytes, and its header alone should have {length:,}")
        content = file.read(length)
    if not content.startswith(b"{"):
        raise Refused("its header does not begin with {")
    return _checked(parse_json(content), _LENGTH_BYTES + length, size)


def _checked(entries: Any, data_start: int, size: int) -> Header:
    if not isinstance(entries, dict):
        raise Refused("its header is no JSON object")
    metadata = entries.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("its metadata is not text by name")
    ranges = sorted((*_range(name, entry), name) for name, entry in entries.items())
    end = 0
    for first, last, name in ranges:
        if first != end:
            raise Refused(
                f"the bytes of {shown(name)} {'overlap others' if first < end else 'leave a gap before them'}"
            )
        end = last
    expected = data_start + end
    if size < expected:
        raise CutShort(f"it has {size:,} of {expected:,} bytes")
    if size > expected:
        raise Refused(f"it has {size:,} bytes where its header says {expected:,}")
    return Header(
        {name: TensorEntry(entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}, metadata
    )


def _range(name: str, entry: Any) -> tuple[int, int]:
    """(first, last + 1) byte of a tensor, once its entry has proved sound."""
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        raise Refused(f"its header does not describe {shown(name)} by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise Refused(f"{shown(name)} has the unknown dtype {shown(dtype)}")
    if not is_shape(shape):
        raise Refused(f"{shown(name)} has the impossible shape {shown(shape)}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_size, offsets)):
        raise Refused(f"{shown(name)} has the impossible data_offsets {shown(offsets)}")
    first, last = offsets
    needed = TensorEntry(dtype, tuple(shape)).byte_count
    if last - first != needed:
        raise Refused(f"{shown(name)} has {last - first:,} bytes where {dtype} {shown(shape)} needs {needed:,}")
    return first, last
