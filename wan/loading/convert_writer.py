"""Write a safetensors file with one tensor at a time in memory, where the library wants all of them at once."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wan.runs.atomic import atomic_path

_DTYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """A tensor before it is read."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def byte_count(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_safetensors(
    path: Path, specs: Sequence[TensorSpec], read: Callable[[TensorSpec], Tensor], on_bytes: Callable[[int], object]
) -> None:
    """Whole or not at all; ``read`` is called once per spec, ``on_bytes`` after each. Raises OSError."""
    # widest first, as the library orders them: every tensor then starts at a multiple of its element size
    ordered = sorted(specs, key=lambda spec: (-spec.dtype.itemsize, spec.name))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_header(ordered))
        for spec in ordered:
            tensor = read(spec)
            assert (tuple(tensor.shape), tensor.dtype) == (spec.shape, spec.dtype), spec
            file.write(as_bytes(tensor).numpy().data)
            del tensor  # or it would stay until the next one has been read
            on_bytes(spec.byte_count)


def as_bytes(tensor: Tensor) -> Tensor:
    """The tensor's memory (N,) as uint8: bit for bit, so that NaN equals NaN."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _header(specs: Sequence[TensorSpec]) -> bytes:
    # "pt" is what transformers asks for before it loads a file
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for spec in specs:
        end = offset + spec.byte_count
        entries[spec.name] = {"dtype": _DTYPE_NAMES[spec.dtype], "shape": spec.shape, "data_offsets": [offset, end]}
        offset = end
    content = json.dumps(entries, separators=(",", ":")).encode()
    content += b" " * (-len(content) % _ALIGNMENT)
    return len(content).to_bytes(_ALIGNMENT, "little") + content
