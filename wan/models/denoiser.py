"""One expert as a denoiser: diffusers' WanTransformer3DModel behind ``predict``, which evaluates explicit branches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from wan.sampling.guidance import Branch
from wan.sampling.plan import Expert, Step
from wan.sampling.protocols import Contexts, Velocities

OnForward = Callable[[str, Branch, int], None]
"""(expert name, branch, tokens per sample), called once for every branch that is really evaluated."""


class Network(Protocol):
    """A model together with what it is conditioned on besides the text."""

    @property
    def model(self) -> WanTransformer3DModel:
        """The model itself."""

    def __call__(self, hidden_states: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """One forward: the velocity (B, C, F, h, w) for text embeddings (B, T, D)."""


BindNetwork = Callable[[WanTransformer3DModel], Network]
Evaluate = Callable[[Network, Tensor, Tensor, Contexts], Velocities]


@dataclass(frozen=True, slots=True)
class TextConditioned:
    """Text alone (an image, if there is one, is in the hidden states)."""

    model: WanTransformer3DModel

    def __call__(self, hidden_states: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        return self.model(
            hidden_states=hidden_states, timestep=timestep, encoder_hidden_states=context, return_dict=False
        )[0]


@dataclass(frozen=True, slots=True)
class ImageConditioned:
    """Text and an image's CLIP features (1, N, D), which every cross-attention sees (Wan2.1 image to video).

    diffusers tells image from text by counting 512 text positions from the end; ``open_checkpoint`` refuses others.
    """

    model: WanTransformer3DModel
    features: Tensor

    def __call__(self, hidden_states: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        return self.model(
            hidden_states=hidden_states,
            timestep=timestep,
            encoder_hidden_states=context,
            encoder_hidden_states_image=self.features.to(context.dtype).expand(context.shape[0], -1, -1),
            return_dict=False,
        )[0]


class WanDenoiser:
    """Casts to the model's dtype at its border and back to float32; everything outside it is float32."""

    def __init__(self, network: Network, *, expert: Expert, evaluate: Evaluate, on_forward: OnForward) -> None:
        self._network = network
        self._dtype = network.model.dtype  # looked up once: diffusers walks through all modules for it
        self._expert = expert
        self._evaluate = evaluate
        self._on_forward = on_forward

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Velocities (B, C, F, h, w), float32, of the branches in ``contexts`` (B, T, D).

        ``hidden_states`` (B, C_in, F, h, w); ``timestep`` (B,) or, one per token, (B, tokens).
        """
        return self._evaluated(hidden_states, timestep, contexts)

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """As ``predict``: this denoiser keeps nothing from call to call."""
        return self._evaluated(hidden_states, timestep, contexts)

    def _evaluated(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        inputs = {branch: context.to(self._dtype) for branch, context in contexts.items()}
        velocities = self._evaluate(self._network, hidden_states.to(self._dtype), timestep, inputs)
        tokens = hidden_states[0, 0].numel() // _patch_volume(self._network.model)
        for branch in velocities:
            self._on_forward(self._expert.value, branch, tokens)
        return {branch: velocity.float() for branch, velocity in velocities.items()}

    def release(self) -> None:
        """Let go of the model: observers may hold this object longer than its stage lasts."""
        del self._network


def one_by_one(network: Network, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
    """A forward per branch, as the official code does; each in its own cache context."""
    velocities: Velocities = {}
    for branch, context in contexts.items():
        with network.model.cache_context(branch.value):
            velocities[branch] = network(hidden_states, timestep, context)
    return velocities


def batched(network: Network, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
    """All branches in one forward along the batch axis: more memory, fewer and larger kernels."""
    count = len(contexts)
    with network.model.cache_context("+".join(branch.value for branch in contexts)):
        stacked = network(
            torch.cat([hidden_states] * count),
            torch.cat([timestep] * count),
            torch.cat(list(contexts.values())),
        )
    return dict(zip(contexts, stacked.chunk(count), strict=True))


def _patch_volume(model: WanTransformer3DModel) -> int:
    frames, rows, columns = model.config.patch_size
    return frames * rows * columns
