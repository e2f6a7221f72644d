"""A model before its weights: built without memory, checked against the files, then filled tensor by tensor."""

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from wan.errors import CheckpointError
from wan.loading.official_keys import KeyMap, Source
from wan.loading.weights import Weights
from wan.untrusted.refusal import shown

Model = TypeVar("Model", bound=nn.Module)
Change = Callable[[str, Tensor], Tensor]
"""What a parameter becomes on its way from its file into the model, by its name."""

_SHOWN_NAMES = 3


class Spread(Protocol):
    """Where the parameters of a model go, and how they are stored there."""

    def split(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Prepare the empty model, which is to compute in ``dtype``."""

    def place(self, name: str, tensor: Tensor, like: Tensor, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """What the model gets for a parameter that was read; ``like`` is its empty one."""


class Whole:
    """All of them to one device."""

    def split(self, model: nn.Module, dtype: torch.dtype) -> None:
        pass

    def place(self, name: str, tensor: Tensor, like: Tensor, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return tensor.to(device=device, dtype=dtype)


WHOLE = Whole()


def as_stored(name: str, tensor: Tensor) -> Tensor:
    """No change."""
    return tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Component(Generic[Model]):
    """One component: how to make its empty model, and where every parameter is.

    Layers whose dotted name holds a word of ``keep_float32`` stay in float32 whatever the dtype. Tensors whose name
    matches ``unused`` are left in their files.
    """

    place: str
    make: Callable[[], Model]
    weights: Weights
    key_map: KeyMap
    keep_float32: Collection[str] = ()
    unused: str | None = None

    def is_unused(self, name: str) -> bool:
        """Whether a tensor of the files belongs to no network here, as CLIP's text tower."""
        return self.unused is not None and re.search(self.unused, name) is not None

    def check(self) -> Model:
        """The model without its weights, which are not read.

        ``CheckpointError`` unless the files hold exactly its parameters, in its shapes.
        """
        model = self._empty()
        self._check(model)
        return model

    def build(self, *, dtype: torch.dtype, device: torch.device, spread: Spread = WHOLE) -> Model:
        """The model on ``device``, for inference; at most one tensor is in memory beside it."""
        return self.prepare(dtype=dtype, spread=spread)(device)

    def prepare(
        self, *, dtype: torch.dtype, spread: Spread = WHOLE, change: Change = as_stored
    ) -> Callable[[torch.device], Model]:
        """``build`` in two steps: the checked empty model is made now, and the result reads its weights, once, in any
        thread (making one in a thread would disturb other modules made meanwhile)."""
        return functools.partial(self._fill, self.check(), dtype, spread, change)

    def read(self, source: Source, shape: torch.Size) -> Tensor:
        """One parameter in its stored dtype and the model's shape."""
        # reshape: the official code writes some vectors with axes of length one
        tensor = source.pick(self.weights.read(source.name))
        return tensor if tensor.numel() != shape.numel() else tensor.reshape(shape)  # quantised blocks stay as they are

    def _fill(self, model: Model, dtype: torch.dtype, spread: Spread, change: Change, device: torch.device) -> Model:
        spread.split(model, dtype)
        model.load_state_dict(self._parameters(model, dtype, spread, change, device), strict=True, assign=True)
        return model.to(device).eval().requires_grad_(False)

    def _empty(self) -> Model:
        # buffers are computed, not stored, so they are made for real
        with init_empty_weights(include_buffers=False):
            return self.make()

    def _check(self, model: Model) -> None:
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        missing = sorted(wanted.keys() - self.key_map.keys())
        surplus = sorted(self.key_map[name].name for name in self.key_map.keys() - wanted.keys())
        if missing or surplus:
            raise CheckpointError(
                f"{self.place} does not hold the model that its config.json and task describe: "
                f"missing {_some(missing)}; unknown {_some(surplus)}; check --task, or download it again"
            )
        stored = {name: self._stored_shape(source) for name, source in self.key_map.items()}
        wrong = [name for name, shape in wanted.items() if _significant(stored[name]) != _significant(shape)]
        if wrong:
            name = wrong[0]
            raise CheckpointError(
                f"{self.place}: {shown(self.key_map[name].name)} has the shape {stored[name]} where the model needs "
                f"{wanted[name]} (and {len(wrong) - 1} more); its config.json belongs to another model"
            )
        if twice := self._stored_twice():
            raise CheckpointError(
                f"{self.place} holds one parameter under two names, {_some(twice)}; take the published files"
            )

    def _stored_twice(self) -> list[str]:
        """Tensors that a key map had no place for, as another has the same parameter."""
        used = {source.name for source in self.key_map.values()}
        return sorted(name for name in self.weights.entries.keys() - used if not self.is_unused(name))

    def _stored_shape(self, source: Source) -> tuple[int, ...]:
        return tuple(source.pick(torch.empty(self.weights.entries[source.name].shape, device="meta")).shape)

    def _parameters(
        self, model: Model, dtype: torch.dtype, spread: Spread, change: Change, device: torch.device
    ) -> dict[str, Any]:
        """One ``Parameter`` per source: two names of one source share it, which ties them."""
        empty = model.state_dict()
        made: dict[Source, nn.Parameter] = {}
        parameters: dict[str, nn.Parameter] = {}
        for name, source in self.key_map.items():
            if source not in made:
                target = torch.float32 if self._stays_float32(name) else dtype
                tensor = change(name, self.read(source, empty[name].shape))
                placed = spread.place(name, tensor, empty[name], dtype=target, device=device)
                made[source] = nn.Parameter(placed, requires_grad=False)
            parameters[name] = made[source]
        return parameters

    def _stays_float32(self, name: str) -> bool:
        return any(word in self.keep_float32 for word in name.split("."))


def _significant(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _some(names: list[str]) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(map(shown, names[:_SHOWN_NAMES])) + more
