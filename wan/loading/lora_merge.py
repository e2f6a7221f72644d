"""LoRA files on an expert: added to its weights while these are read, or kept beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wan.loading.component import Component
from wan.loading.denoiser_weights import as_numbers
from wan.loading.lora_files import LoraFile
from wan.loading.lora_names import Addition, Shapes
from wan.loading.weights import SafetensorsWeights
from wan.sampling.plan import Expert


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """One addition in one file, with the strength of the file."""

    addition: Addition
    weights: SafetensorsWeights
    strength: float

    @property
    def factor(self) -> float:
        """Strength times alpha over rank; alpha is the rank where nobody says it."""
        alpha, rank = self.addition.alpha, self.addition.rank
        if alpha is None or not rank:
            return self.strength
        value = float(self.weights.read(alpha).float()) if isinstance(alpha, str) else alpha
        return self.strength * value / rank

    def matrices(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(down (rank, in), up (out, rank)) in float32."""
        down, up = self.addition.down, self.addition.up
        assert down is not None and up is not None
        first, second = (self.weights.read(name).to(device, torch.float32) for name in (down, up))
        return first.flatten(1), second.flatten(1)

    def added_to(self, tensor: Tensor) -> Tensor:
        """The parameter, float32, with the addition."""
        if self.addition.difference is not None:
            difference = self.weights.read(self.addition.difference).to(tensor.device, torch.float32)
            return tensor + self.factor * difference.reshape(tensor.shape)
        down, up = self.matrices(tensor.device)
        return tensor + (self.factor * (up @ down)).reshape(tensor.shape)


class LoraChanges:
    """What the files change of one expert. ``fused``: all of it is added to the weights when they are read; otherwise
    the pairs of matrices work beside their layers."""

    def __init__(self, loras: Sequence[LoraFile], shapes: Shapes, *, fused: bool = True) -> None:
        self._added: dict[str, list[_Source]] = {}
        self._beside: dict[str, list[_Source]] = {}
        for lora in loras:
            weights = SafetensorsWeights([lora.path])
            for addition in lora.fit(shapes).additions:
                source = _Source(addition=addition, weights=weights, strength=lora.scale)
                goes_beside = not fused and addition.down is not None and len(shapes[addition.parameter]) == 2
                target = self._beside if goes_beside else self._added
                target.setdefault(addition.parameter, []).append(source)

    @classmethod
    def of(
        cls, loras: Sequence[LoraFile], component: Component[Any], expert: Expert, *, fused: bool = True
    ) -> "LoraChanges | None":
        """Those of the files that are for an expert; None where they leave it as it is."""
        own = [lora for lora in loras if expert in lora.experts]
        if not own:
            return None
        shapes = {name: component.weights.shapes[source.name] for name, source in component.key_map.items()}
        return cls(own, shapes, fused=fused)

    @property
    def changed(self) -> frozenset[str]:
        """The parameters whose values are others than those in the checkpoint's files."""
        return frozenset(self._added)

    def __call__(self, name: str, tensor: Tensor) -> Tensor:
        """The parameter as the expert gets it: in float32 where something was added."""
        sources = self._added.get(name)
        if not sources:
            return tensor
        changed = as_numbers(tensor).to(torch.float32)
        for source in sources:
            changed = source.added_to(changed)
        return changed

    def put_beside(self, model: nn.Module, *, dtype: torch.dtype, device: torch.device) -> None:
        """Add to the layers of a loaded model what is not in their weights."""
        for name, sources in self._beside.items():
            layer = model.get_submodule(name.removesuffix(".weight"))
            pairs = [source.matrices(device) for source in sources]
            factors = [source.factor for source in sources]
            layer.beside = LowRankBeside(pairs, factors, dtype=dtype)
            layer.register_forward_hook(_with_beside)


class LowRankBeside(nn.Module):
    """Several LoRAs of one layer as two matrices: their ranks side by side, their strengths in the second one."""

    def __init__(self, pairs: Sequence[tuple[Tensor, Tensor]], factors: Sequence[float], *, dtype: torch.dtype) -> None:
        super().__init__()
        down = torch.cat([down for down, _ in pairs])
        up = torch.cat([factor * up for (_, up), factor in zip(pairs, factors, strict=True)], dim=1)
        self.down = nn.Parameter(down.to(dtype), requires_grad=False)
        self.up = nn.Parameter(up.to(dtype), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        narrow = nn.functional.linear(inputs.to(self.down.dtype), self.down)
        return nn.functional.linear(narrow, self.up)


def _with_beside(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    beside: LowRankBeside = layer.beside  # type: ignore[assignment]
    return output + beside(inputs[0]).to(output.dtype)
