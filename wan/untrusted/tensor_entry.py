"""One tensor in a file as the file's header describes it, and the element types that a header may name."""

import math
from dataclasses import dataclass

BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4, "C64": 64,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
"""Bits of an element of every type that a safetensors header may name."""
WEIGHT_DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""The types that a weight can be read from: floats that convert to float32 exactly, or nearly so (F64)."""

MAX_AXES = 16


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """``dtype`` by its safetensors name (F32, BF16, I8, ...)."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def byte_count(self) -> int:
        return (self.elements * BITS[self.dtype] + 7) // 8


def is_shape(value: object) -> bool:
    """Whether a value of a header is a list of sizes."""
    return isinstance(value, list | tuple) and len(value) <= MAX_AXES and all(is_size(size) for size in value)


def is_size(value: object) -> bool:
    """A whole number that is not negative and that a file can have room for."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48
