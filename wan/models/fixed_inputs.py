"""What stays the same from step to step is computed once for each stage: rotary tables, and what the text becomes.

All of it is exact: the tensors are those that the network would compute again. A text (with an image's features,
where there are any) is known again by its content, and what was computed lives as long as the stage, so that nothing
can be out of date when another prompt, image, dtype or set of weights comes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

SetUp = Callable[[WanTransformer3DModel], AbstractContextManager[None]]
"""Changes a loaded network for the length of a block; what it computes stays the same."""

# a stage asks for both branches one by one, or for both at once and for one alone; an instrument for the other alone
_TEXTS = 3


class Known:
    """A tensor that is known again: at once while it is the same memory, unwritten since, or else by its content."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor  # held, so that its memory is not given to another tensor
        self._version = _version(tensor)
        self._content = tensor.clone()

    def is_same(self, tensor: Tensor) -> bool:
        """Whether the tensor holds, bit for bit, what this one held."""
        unwritten = self._version is not None and _version(tensor) == self._version
        if unwritten and _place(tensor) == _place(self._tensor):
            return True
        return _kind(tensor) == _kind(self._content) and torch.equal(self._content, tensor)


@dataclass(frozen=True, slots=True)
class _Text:
    """One text (and image), and what was made of it, in the order of the modules that hand it out."""

    inputs: tuple[Known, ...]
    made: tuple[Tensor, ...]

    def is_of(self, inputs: tuple[Tensor, ...]) -> bool:
        return len(inputs) == len(self.inputs) and all(map(Known.is_same, self.inputs, inputs))


class Held(nn.Module):
    """Stands in for modules whose output is known by now: hands it out, whatever comes in.

    They stay parts of the network, so that whoever moves or counts its weights finds them.
    """

    tensor: Tensor

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.known = nn.Sequential(*modules)

    def forward(self, _: Tensor) -> Tensor:
        return self.tensor


class OncePerShape(nn.Module):
    """A rotary embedding whose tables (1, tokens, 1, D) are computed once for each shape of the latents."""

    def __init__(self, rope: nn.Module) -> None:
        super().__init__()
        self._rope = rope
        self._tables: dict[tuple[Any, ...], tuple[Tensor, ...]] = {}

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, ...]:
        """cos and sin for (B, C, F, h, w), of which only shape and device are looked at."""
        key = (hidden_states.shape[2:], hidden_states.device)
        if key not in self._tables:
            self._tables[key] = self._rope(hidden_states)
        return self._tables[key]


class KeptTexts(nn.Module):
    """Stands in for the network's condition embedder, which hears of the text first, and hands out what it becomes.

    It computes inside of the forward: there the weights are on the device, wherever they are between forwards.
    """

    def __init__(self, embedder: nn.Module, stack: ExitStack) -> None:
        super().__init__()
        self._embedder = embedder
        self._stack = stack
        self._texts: list[_Text] = []
        names = [name for name in ("text_embedder", "image_embedder") if getattr(embedder, name) is not None]
        self._embedded = [self._hold(embedder, name) for name in names]
        self._keys: list[tuple[Held, bool]] = []

    def keep_keys(self, attention: nn.Module) -> None:
        """Keys and values of a cross-attention, too. The key is held after its norm, which is the last to touch it."""
        pairs = [("to_k", "norm_k", "to_v", False)]
        if attention.add_k_proj is not None:
            pairs.append(("add_k_proj", "norm_added_k", "add_v_proj", True))
        for key, norm, value, of_image in pairs:
            projection = getattr(attention, key)
            _replace(attention, key, nn.Identity(), self._stack)
            self._keys.append((self._hold(attention, norm, projection), of_image))
            self._keys.append((self._hold(attention, value), of_image))

    def forward(self, timestep: Tensor, text: Tensor, image: Tensor | None = None, **kwargs: Any) -> Any:
        """As the condition embedder; the text's part of it, and of the blocks, is computed if the text is new."""
        inputs = (text,) if image is None else (text, image)
        found = next((known for known in self._texts if known.is_of(inputs)), None)
        if found is None:
            found = _Text(tuple(map(Known, inputs)), self._compute(inputs))
        self._texts = [found, *[known for known in self._texts if known is not found][: _TEXTS - 1]]
        holders = (*self._embedded, *(holder for holder, _ in self._keys))
        for holder, tensor in zip(holders, found.made, strict=True):
            holder.tensor = tensor
        return self._embedder(timestep, text, image, **kwargs)

    def _compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        embedded = [holder.known(tensor) for holder, tensor in zip(self._embedded, inputs, strict=True)]
        # as the network does it: the image's features before the text, and both cut out again
        joined = torch.concat(embedded[::-1], dim=1)
        features = joined.shape[1] - embedded[0].shape[1]
        parts = {True: joined[:, :features], False: joined[:, features:]}
        return (*embedded, *(holder.known(parts[of_image]) for holder, of_image in self._keys))

    def _hold(self, owner: nn.Module, name: str, *before: nn.Module) -> Held:
        holder = Held(*before, getattr(owner, name))
        _replace(owner, name, holder, self._stack)
        return holder


@contextmanager
def nothing_kept(model: WanTransformer3DModel) -> Iterator[None]:
    """Every forward computes everything, as diffusers does."""
    yield


@contextmanager
def inputs_kept(model: WanTransformer3DModel) -> Iterator[None]:
    """Rotary tables once per shape, the projection of text and image once per text."""
    with ExitStack() as stack:
        _keep_inputs(model, stack)
        yield


@contextmanager
def inputs_and_keys_kept(model: WanTransformer3DModel) -> Iterator[None]:
    """As ``inputs_kept``, and every cross-attention has the keys and values of its text (and image) at hand.

    They take 4 x layers x T x width bytes per text in bfloat16, 0.42 GB for A14B (40 x 512 x 5120). All layers' are
    computed when a text is new, so the whole network must be on the device.
    """
    with ExitStack() as stack:
        texts = _keep_inputs(model, stack)
        for block in model.blocks:
            texts.keep_keys(block.attn2)
        yield


def _keep_inputs(model: WanTransformer3DModel, stack: ExitStack) -> KeptTexts:
    _replace(model, "rope", OncePerShape(model.rope), stack)
    texts = KeptTexts(model.condition_embedder, stack)
    _replace(model, "condition_embedder", texts, stack)
    return texts


def _replace(owner: nn.Module, name: str, module: nn.Module, stack: ExitStack) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, module)


def _kind(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.device


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return *_kind(tensor), tensor.data_ptr(), tensor.stride()


def _version(tensor: Tensor) -> int | None:
    """How often the tensor's memory was written to; None where PyTorch does not count (inference mode)."""
    return None if tensor.is_inference() else tensor._version
