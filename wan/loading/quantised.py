"""How the weights of a denoiser are stored: as they compute, in 8-bit floats, in 8-bit integers, or as GGUF blocks."""

from collections.abc import Collection
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from wan.loading.component import WHOLE, Spread, Whole
from wan.loading.denoiser_weights import GgufWeights, as_numbers
from wan.loading.weights import Weights

FP8 = torch.float8_e4m3fn
_BLOCKS = "blocks."


class Fp8Stored(Whole):
    """Linear layers in 8-bit floats, made the run's dtype for the time of their forward (diffusers' layerwise casting);
    norms, embeddings and the output stay as they are."""

    def split(self, model: nn.Module, dtype: torch.dtype) -> None:
        model.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=dtype)  # type: ignore[operator]

    def place(self, name: str, tensor: Tensor, like: Tensor, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        # the casting has made the empty parameters of its layers small already
        return super().place(name, tensor, like, dtype=FP8 if like.dtype == FP8 else dtype, device=device)


class Int8Stored(Whole):
    """The blocks' matrices in 8-bit integers with a scale for each row (torchao, weights only)."""

    def __init__(self) -> None:
        self._names: Collection[str] = ()

    def split(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._names = _matrices(model)

    def place(self, name: str, tensor: Tensor, like: Tensor, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        placed = super().place(name, tensor, like, dtype=dtype, device=device)
        if name not in self._names:
            return placed
        from torchao.quantization import Int8Tensor, PerRow

        quantised: Tensor = Int8Tensor.from_hp(placed, granularity=PerRow())
        return quantised


class GgufStored(Whole):
    """The blocks' matrices as they are in a GGUF file, made numbers for the time of their forward (diffusers'
    ``GGUFLinear``); all else, and what is ``changed``, is made numbers when it is read."""

    def __init__(self, weights: GgufWeights, changed: Collection[str]) -> None:
        self._weights, self._changed = weights, changed

    def split(self, model: nn.Module, dtype: torch.dtype) -> None:
        from diffusers.quantizers.gguf.utils import GGUFLinear

        for name in _matrices(model):
            if not self._weights.is_quantised(name) or name in self._changed:
                continue
            place, _, last = name.removesuffix(".weight").rpartition(".")
            owner = model.get_submodule(place)
            layer: nn.Linear = getattr(owner, last)
            with init_empty_weights():
                made = GGUFLinear(layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype)
            shape = self._weights.entries[name].byte_shape
            made.weight = nn.Parameter(torch.empty(shape, dtype=torch.uint8, device="meta"), requires_grad=False)
            setattr(owner, last, made)

    def place(self, name: str, tensor: Tensor, like: Tensor, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        if like.dtype == torch.uint8:
            return tensor.to(device)
        return super().place(name, as_numbers(tensor), like, dtype=dtype, device=device)


def storage_for(quantize: str, weights: Weights, *, spread: Spread = WHOLE, changed: Collection[str] = ()) -> Spread:
    """How an expert with these weights is stored; ``changed``: parameters that a LoRA gave other values."""
    if isinstance(weights, GgufWeights):
        return GgufStored(weights, changed)
    return {"fp8": Fp8Stored, "int8": Int8Stored}[quantize]() if quantize in ("fp8", "int8") else spread


def stored_bytes(model: nn.Module) -> int:
    """Bytes that the weights of a model take as they are stored."""
    return sum(_bytes(parameter) for parameter in model.parameters())


def _matrices(model: nn.Module) -> list[str]:
    """The weights of the linear layers of the blocks."""
    return [
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(_BLOCKS)
    ]


def _bytes(parameter: Any) -> int:
    if hasattr(parameter, "qdata"):  # torchao keeps integers and scales as tensors of their own
        return sum(part.numel() * part.element_size() for part in (parameter.qdata, parameter.scale))
    size: int = parameter.numel() * parameter.element_size()
    return size
