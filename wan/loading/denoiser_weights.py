"""The tensors of a single-file denoiser: fp8 with scales read as numbers, GGUF blocks as diffusers' parameters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from wan.errors import CheckpointError
from wan.loading.denoiser_files import is_gguf, parameters_in
from wan.loading.weights import LIBRARY_ERRORS, Shapes
from wan.untrusted.gguf_header import read_gguf_header
from wan.untrusted.refusal import Refused, reason_of
from wan.untrusted.safetensors_header import read_header

_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class SingleFileWeights:
    """A safetensors file under diffusers' names; a weight with a scale beside it is read as their product, float32."""

    def __init__(self, path: Path) -> None:
        self.files: Sequence[Path] = [path]
        self._stored = parameters_in(path)
        entries = read_header(path).tensors
        self.entries: Mapping[str, Any] = {name: entries[stored.name] for name, stored in self._stored.items()}

    @property
    def shapes(self) -> Shapes:
        return {name: stored.shape for name, stored in self._stored.items()}

    def read(self, name: str) -> Tensor:
        path, stored = self.files[0], self._stored[name]
        try:
            with safe_open(path, framework="pt") as file:
                tensor = file.get_tensor(stored.name)
                if stored.scale is None:
                    return tensor
                scale = file.get_tensor(stored.scale).float()
        except LIBRARY_ERRORS as error:
            raise CheckpointError(f"{path} is damaged ({reason_of(error)}); download that file again") from error
        return tensor.float() * (scale if scale.numel() == 1 else scale.reshape(-1, *[1] * (tensor.ndim - 1)))


class GgufWeights:
    """A GGUF file under diffusers' names, mapped into memory; quantised tensors are diffusers' ``GGUFParameter``."""

    def __init__(self, path: Path) -> None:
        self.files: Sequence[Path] = [path]
        stored = parameters_in(path)
        try:
            tensors = read_gguf_header(path).tensors
        except Refused as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        self.entries: Mapping[str, Any] = {name: tensors[one.name] for name, one in stored.items()}

    @property
    def shapes(self) -> Shapes:
        return {name: entry.shape for name, entry in self.entries.items()}

    def read(self, name: str) -> Tensor:
        path, entry = self.files[0], self.entries[name]
        # a private map: torch wants memory that may be written to
        data = np.memmap(path, dtype=np.uint8, mode="c", offset=entry.offset, shape=(entry.byte_count,))
        raw = torch.from_numpy(data)
        if entry.dtype in _PLAIN:
            return raw.view(_PLAIN[entry.dtype]).reshape(entry.shape)
        from diffusers.quantizers.gguf.utils import GGUFParameter  # it needs the package gguf
        from gguf import GGMLQuantizationType

        return GGUFParameter(raw.reshape(entry.byte_shape), quant_type=GGMLQuantizationType(entry.type_number))

    def is_quantised(self, name: str) -> bool:
        """Whether a parameter is stored in blocks."""
        is_plain: bool = self.entries[name].dtype in _PLAIN
        return not is_plain


def open_denoiser(path: Path) -> SingleFileWeights | GgufWeights:
    """A single file as the weights of an expert; CheckpointError when it is damaged."""
    return GgufWeights(path) if is_gguf(path) else SingleFileWeights(path)


def as_numbers(tensor: Tensor) -> Tensor:
    """What a quantised parameter stands for; any other tensor as it is."""
    if not hasattr(tensor, "quant_type"):
        return tensor
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    numbers: Tensor = dequantize_gguf_tensor(tensor)
    return numbers
