"""One expert as a denoiser: diffusers' WanTransformer3DModel behind ``predict``, which evaluates explicit branches."""

from collections.abc import Callable, Mapping

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from wan.sampling.guidance import Branch
from wan.sampling.plan import Expert

Contexts = Mapping[Branch, Tensor]
OnForward = Callable[[str, Branch, int], None]
"""(expert name, branch, tokens per sample), called once for every branch that is really evaluated."""
Evaluate = Callable[[WanTransformer3DModel, Tensor, Tensor, Contexts], dict[Branch, Tensor]]


class WanDenoiser:
    """Casts to the model's dtype at its border and back to float32; everything outside it is float32."""

    def __init__(
        self, model: WanTransformer3DModel, *, expert: Expert, evaluate: Evaluate, on_forward: OnForward
    ) -> None:
        self._model = model
        self._expert = expert
        self._evaluate = evaluate
        self._on_forward = on_forward

    def predict(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> dict[Branch, Tensor]:
        """Velocities (B, C, F, h, w), float32, of the branches in ``contexts`` (B, T, D).

        ``hidden_states`` (B, C_in, F, h, w); ``timestep`` (B,) or, one per token, (B, tokens).
        """
        dtype = self._model.dtype
        inputs = {branch: context.to(dtype) for branch, context in contexts.items()}
        velocities = self._evaluate(self._model, hidden_states.to(dtype), timestep, inputs)
        tokens = hidden_states[0, 0].numel() // _patch_volume(self._model)
        for branch in velocities:
            self._on_forward(self._expert.value, branch, tokens)
        return {branch: velocity.float() for branch, velocity in velocities.items()}


def one_by_one(
    model: WanTransformer3DModel, hidden_states: Tensor, timestep: Tensor, contexts: Contexts
) -> dict[Branch, Tensor]:
    """A forward per branch, as the official code does; each in its own cache context."""
    velocities = {}
    for branch, context in contexts.items():
        with model.cache_context(branch.value):
            velocities[branch] = _forward(model, hidden_states, timestep, context)
    return velocities


def batched(
    model: WanTransformer3DModel, hidden_states: Tensor, timestep: Tensor, contexts: Contexts
) -> dict[Branch, Tensor]:
    """All branches in one forward along the batch axis: more memory, fewer and larger kernels."""
    count = len(contexts)
    with model.cache_context("+".join(branch.value for branch in contexts)):
        stacked = _forward(
            model,
            torch.cat([hidden_states] * count),
            torch.cat([timestep] * count),
            torch.cat(list(contexts.values())),
        )
    return dict(zip(contexts, stacked.chunk(count), strict=True))


def _forward(model: WanTransformer3DModel, hidden_states: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
    return model(hidden_states=hidden_states, timestep=timestep, encoder_hidden_states=context, return_dict=False)[0]


def _patch_volume(model: WanTransformer3DModel) -> int:
    frames, rows, columns = model.config.patch_size
    return frames * rows * columns
