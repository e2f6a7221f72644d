"""The header of a GGUF file, checked: names, types, shapes and places of its tensors; no byte of a tensor is read.

Layout of the format: magic, version, number of tensors, number of notes, the notes, the tensors' descriptions, and,
aligned, their bytes (the GGUF specification of the ggml project, versions 2 and 3).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from wan.untrusted.refusal import Refused, shown
from wan.untrusted.regular import open_regular
from wan.untrusted.safetensors_header import CutShort
from wan.untrusted.tensor_entry import is_size

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_HEADER, _MAX_TEXT, _MAX_TENSORS, _MAX_NOTES, _MAX_AXES = 32 * 2**20, 2**20, 2**17, 2**16, 8
_DEFAULT_ALIGNMENT, _ALIGNMENT = 32, "general.alignment"

TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136), 30: ("BF16", 1, 2),
}  # fmt: skip
"""Number to (name, values of a block, bytes of a block), of the types that are published and that diffusers reads."""
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _LIST = 8, 9


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufTensor:
    """``shape`` as torch has it (the file has it reversed); ``offset`` from the file's beginning."""

    dtype: str
    type_number: int
    shape: tuple[int, ...]
    offset: int
    byte_count: int

    @property
    def byte_shape(self) -> tuple[int, ...]:
        """The shape of its bytes: blocks are along the last axis."""
        _, values, size = TYPES[self.type_number]
        return (*self.shape[:-1], self.shape[-1] // values * size)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """``notes``: the short texts and numbers of the file's author, to compare and never to believe."""

    tensors: Mapping[str, GgufTensor]
    notes: Mapping[str, Any]


def read_gguf_header(path: Path) -> GgufHeader:
    """What a file says that it holds; ``Refused`` (``CutShort``) says why it is not to be read."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            raise Refused("it does not begin as a GGUF file")
        return _Reader(file, size).header()


class _Reader:
    """Reads on from where the file stands; whatever is longer than any header is refused."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def header(self) -> GgufHeader:
        version = self.number("<I")
        if version not in _VERSIONS:
            raise Refused(f"it is of GGUF version {version}, and {' and '.join(map(str, _VERSIONS))} are known")
        tensors, count = self.number("<Q"), self.number("<Q")
        if tensors > _MAX_TENSORS or count > _MAX_NOTES:
            raise Refused(f"it would have {tensors} tensors and {count} notes, which no model has")
        notes: dict[str, Any] = {}
        for _ in range(count):
            name = self.text()
            notes[name] = self.value(self.number("<I"))
        described = [self.description() for _ in range(tensors)]
        alignment = notes.get(_ALIGNMENT, _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or not 1 <= alignment <= 2**16:
            raise Refused(f"its {_ALIGNMENT} is {shown(alignment)}")
        start = -(-self._file.tell() // alignment) * alignment
        return GgufHeader(self._placed(described, start, alignment), notes)

    def _placed(
        self, described: list[tuple[str, tuple[int, ...], int, int]], start: int, alignment: int
    ) -> dict[str, GgufTensor]:
        """Every tensor with its place in the file: inside of it, and overlapping no other."""
        found: dict[str, GgufTensor] = {}
        for name, shape, kind, offset in described:
            if name in found:
                raise Refused(f"it has the tensor {shown(name)} twice")
            dtype, values, size = TYPES[kind]
            if not shape or shape[-1] % values:
                raise Refused(f"{shown(name)} of shape {list(shape)} cannot be made of blocks of {values} values")
            if offset % alignment:
                raise Refused(f"{shown(name)} does not begin where a tensor may begin")
            bytes_of_it = prod(shape) // values * size
            found[name] = GgufTensor(
                dtype=dtype, type_number=kind, shape=shape, offset=start + offset, byte_count=bytes_of_it
            )
        end = start
        for name, tensor in sorted(found.items(), key=lambda item: item[1].offset):
            if tensor.offset < end:
                raise Refused(f"the bytes of {shown(name)} overlap others")
            end = tensor.offset + tensor.byte_count
        if end > self._size:
            raise CutShort(f"it has {self._size:,} of {end:,} bytes")
        return found

    def description(self) -> tuple[str, tuple[int, ...], int, int]:
        """(name, shape, type, offset) of one tensor."""
        name, axes = self.text(), self.number("<I")
        if axes > _MAX_AXES:
            raise Refused(f"{shown(name)} has {axes} axes")
        shape = tuple(self.number("<Q") for _ in range(axes))[::-1]
        kind, offset = self.number("<I"), self.number("<Q")
        if kind not in TYPES:
            raise Refused(f"{shown(name)} is of GGUF type {kind}, which is not known here")
        if not all(is_size(axis) for axis in shape) or not is_size(prod(shape)):
            raise Refused(f"{shown(name)} has a shape that no file has room for")
        return name, shape, kind, offset

    def value(self, kind: int, *, depth: int = 0) -> Any:
        """One note; of a list only its length."""
        if kind in _NUMBERS:
            return self.number(_NUMBERS[kind])
        if kind == _TEXT:
            return self.text()
        if kind != _LIST or depth > 2:
            raise Refused(f"a note is of the type {kind}, which is not known here")
        inner, count = self.number("<I"), self.number("<Q")
        if inner in _NUMBERS:
            self.skip(count * struct.calcsize(_NUMBERS[inner]))
            return count
        for _ in range(min(count, _MAX_HEADER)):
            self.value(inner, depth=depth + 1)
        return count

    def text(self) -> str:
        length = self.number("<Q")
        if length > _MAX_TEXT:
            raise Refused(f"it holds a text of {length:,} bytes, which no header has")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("a name in it is not UTF-8") from error

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def skip(self, count: int) -> None:
        self._refuse_beyond(self._file.tell() + count)
        self._file.seek(count, 1)

    def take(self, count: int) -> bytes:
        self._refuse_beyond(self._file.tell() + count)
        return self._file.read(count)

    def _refuse_beyond(self, place: int) -> None:
        if place > self._size:
            raise CutShort(f"it has {self._size:,} bytes, and its header alone is longer")
        if place > _MAX_HEADER:
            raise Refused(f"its header is longer than {_MAX_HEADER // 2**20} MiB, which none is")
