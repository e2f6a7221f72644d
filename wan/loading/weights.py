"""The tensors of one component, spread over its files, read one at a time through memory maps."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wan.errors import CheckpointError
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX, check_whole, read_shapes

Shapes = Mapping[str, tuple[int, ...]]


class Weights(Protocol):
    """Named tensors on disk."""

    @property
    def files(self) -> Sequence[Path]:
        """Where they are."""

    @property
    def shapes(self) -> Shapes:
        """Every tensor's shape, without reading one."""

    def read(self, name: str) -> Tensor:
        """One tensor in its stored dtype, backed by the file until it is converted or moved."""


class SafetensorsWeights:
    """One or more safetensors files (the shards of a component)."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._file_of: dict[str, Path] = {}
        for file in files:
            shapes = read_shapes(file)
            self._shapes |= shapes
            self._file_of |= dict.fromkeys(shapes, file)

    @property
    def shapes(self) -> Shapes:
        return self._shapes

    def read(self, name: str) -> Tensor:
        # opened anew for every tensor: an open file keeps all pages that were read from it in memory
        path = self._file_of[name]
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(f"{path} is damaged ({error}); download that file again") from error


class PickledWeights:
    """A ``.pth`` file that holds one dict of tensors; nothing but tensors is unpickled from it."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for file in self.files:
            tensors |= _load_pickled(file)
        return tensors

    @property
    def shapes(self) -> Shapes:
        return {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

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
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{file} cannot be read as a file of tensors ({reason}); download it again") from error
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise CheckpointError(f"{file} holds more than named tensors; give the checkpoint file as it was published")
    return content
