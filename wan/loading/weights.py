"""The tensors of one component, spread over its files, read one at a time through memory maps."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wan.errors import CheckpointError
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX, check_whole, read_entries
from wan.untrusted.refusal import MALFORMED, reason_of
from wan.untrusted.tensor_entry import TensorEntry

Shapes = Mapping[str, tuple[int, ...]]
LIBRARY_ERRORS: tuple[type[Exception], ...] = (SafetensorError, UnpicklingError, *MALFORMED)
"""What safetensors and torch raise for the content of a file."""


class Weights(Protocol):
    """Named tensors on disk."""

    @property
    def files(self) -> Sequence[Path]:
        """Where they are."""

    @property
    def entries(self) -> Mapping[str, TensorEntry]:
        """Every tensor's type and shape, without reading one."""

    @property
    def shapes(self) -> Shapes:
        """Every tensor's shape, without reading one."""

    def read(self, name: str) -> Tensor:
        """One tensor in its stored dtype, backed by the file until it is converted or moved."""


class _Listed:
    """What the headers of one or more files (the shards of a component) list."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self._file_of: dict[str, Path] = {}
        self.entries: dict[str, TensorEntry] = {}
        for file in files:
            entries = read_entries(file)
            self.entries |= entries
            self._file_of |= dict.fromkeys(entries, file)

    @property
    def shapes(self) -> Shapes:
        return {name: entry.shape for name, entry in self.entries.items()}


class SafetensorsWeights(_Listed):
    """Safetensors files, mapped into memory."""

    def read(self, name: str) -> Tensor:
        # opened anew for every tensor: an open file keeps all pages that were read from it in memory
        path = self._file_of[name]
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name)
        except LIBRARY_ERRORS as error:
            raise CheckpointError(f"{path} is damaged ({reason_of(error)}); download that file again") from error


class PickledWeights(_Listed):
    """``.pth`` files of one dict of tensors each; nothing but tensors is unpickled from them."""

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for file in self.files:
            tensors |= _load_pickled(file)
        return tensors

    def read(self, name: str) -> Tensor:
        return self._tensors[name]


_READERS: Mapping[str, Callable[[Sequence[Path]], Weights]] = {
    SAFETENSORS_SUFFIX: SafetensorsWeights,
    **dict.fromkeys(PICKLE_SUFFIXES, PickledWeights),
}


def open_weights(files: Sequence[Path]) -> Weights:
    """The tensors of ``files``, all of one format; CheckpointError when one is missing or damaged."""
    assert files and len({file.suffix for file in files}) == 1, files
    for file in files:
        check_whole(file)
    return _READERS[files[0].suffix](files)


def _load_pickled(file: Path) -> dict[str, Tensor]:
    listed = read_entries(file)  # refuses what torch must not see
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except LIBRARY_ERRORS as error:
        raise CheckpointError(
            f"{file} cannot be read as a file of tensors ({reason_of(error)}); download it again"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise CheckpointError(f"{file} holds more than named tensors; give the checkpoint file as it was published")
    if {name: tuple(tensor.shape) for name, tensor in content.items()} != {n: e.shape for n, e in listed.items()}:
        raise CheckpointError(f"{file} does not hold what its list of tensors says; download it again")
    return content
