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
    """Stands in for a module whose output is known before the forward begins: hands it out, whatever comes in."""

    tensor: Tensor

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


class _Texts:
    """The last few texts of one network. ``modules`` are taken out of it, and ``holders`` stand in for them."""

    def __init__(self, model: WanTransformer3DModel, stack: ExitStack) -> None:
        self._known: list[_Text] = []
        self._holders: list[Held] = []
        self._embedders: list[nn.Module] = []
        self._keys: list[tuple[nn.Sequential, bool]] = []
        self._stack = stack
        embedder = model.condition_embedder
        for name in ("text_embedder", "image_embedder"):
            if (module := getattr(embedder, name)) is not None:
                self._embedders.append(module)
                self._holders.append(self._hold(embedder, name))
        stack.callback(model.register_forward_pre_hook(self._begin, with_kwargs=True).remove)

    def keep_keys(self, attention: nn.Module) -> None:
        """Keys and values of a cross-attention, too. The key is held after its norm, which is the last to touch it."""
        pairs = [("to_k", "norm_k", "to_v", False)]
        if attention.add_k_proj is not None:
            pairs.append(("add_k_proj", "norm_added_k", "add_v_proj", True))
        for key, norm, value, of_image in pairs:
            normed = nn.Sequential(getattr(attention, key), getattr(attention, norm))
            self._keys += [(normed, of_image), (nn.Sequential(getattr(attention, value)), of_image)]
            _replace(attention, key, nn.Identity(), self._stack)
            self._holders += [self._hold(attention, norm), self._hold(attention, value)]

    def _hold(self, owner: nn.Module, name: str) -> Held:
        holder = Held()
        _replace(owner, name, holder, self._stack)
        return holder

    def _begin(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward begins: hand out what its text became, computed now if the text is new."""
        given = kwargs["encoder_hidden_states"], kwargs.get("encoder_hidden_states_image")
        inputs = tuple(tensor for tensor in given if tensor is not None)
        text = next((known for known in self._known if known.is_of(inputs)), None)
        if text is None:
            text = _Text(tuple(map(Known, inputs)), self._compute(inputs))
        self._known = [text, *[other for other in self._known if other is not text][: _TEXTS - 1]]
        for holder, tensor in zip(self._holders, text.made, strict=True):
            holder.tensor = tensor

    def _compute(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        embedded = [module(tensor) for module, tensor in zip(self._embedders, inputs, strict=True)]
        # as the network does it: the image's features before the text, and both cut out again
        joined = torch.concat(embedded[::-1], dim=1)
        features = joined.shape[1] - embedded[0].shape[1]
        parts = {True: joined[:, :features], False: joined[:, features:]}
        return (*embedded, *(module(parts[of_image]) for module, of_image in self._keys))


@contextmanager
def nothing_kept(model: WanTransformer3DModel) -> Iterator[None]:
    """Every forward computes everything, as diffusers does."""
    yield


@contextmanager
def inputs_kept(model: WanTransformer3DModel) -> Iterator[None]:
    """Rotary tables once per shape, the projection of text and image once per text."""
    with ExitStack() as stack:
        _replace(model, "rope", OncePerShape(model.rope), stack)
        _Texts(model, stack)
        yield


@contextmanager
def inputs_and_keys_kept(model: WanTransformer3DModel) -> Iterator[None]:
    """As ``inputs_kept``, and every cross-attention has the keys and values of its text (and image) at hand.

    They take 4 x layers x T x width bytes per text in bfloat16, 0.42 GB for A14B (40 x 512 x 5120). All layers' are
    computed when a text is new, so the whole network must be on the device.
    """
    with ExitStack() as stack:
        _replace(model, "rope", OncePerShape(model.rope), stack)
        texts = _Texts(model, stack)
        for block in model.blocks:
            texts.keep_keys(block.attn2)
        yield


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
