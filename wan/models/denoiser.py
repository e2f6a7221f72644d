"""One expert as a denoiser: diffusers' WanTransformer3DModel behind ``predict``, which evaluates explicit branches."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from wan.models.metering import Meter, Work, size_of
from wan.models.network_cache import StageCache
from wan.sampling.carried import Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Expert, Step
from wan.sampling.protocols import Contexts, Velocities

Branches = tuple[Branch, ...]


class CountWork(Protocol):
    """Is told what really ran."""

    def __call__(self, expert: str, branch: Branch, tokens: int) -> None:
        """One branch went through the whole of a network, with so many tokens per sample."""

    def work(self, flops: Mapping[str, float]) -> None:
        """FLOPs by part of the blocks (``DenoiserSize.part_flops``)."""


class Network(Protocol):
    """A model together with what it is conditioned on besides the text."""

    @property
    def model(self) -> WanTransformer3DModel:
        """The model itself."""

    def __call__(self, hidden_states: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """One forward: the velocity (B, C, F, h, w) for text embeddings (B, T, D)."""


BindNetwork = Callable[[WanTransformer3DModel], Network]


class Forward(Protocol):
    """One forward over the branches that stand along the batch axis."""

    def __call__(
        self, branches: Branches, hidden_states: Tensor, timestep: Tensor, context: Tensor, *, elsewhere: Branches = ()
    ) -> Tensor:
        """Velocities of ``branches``; ``elsewhere``: branches that another process evaluates meanwhile, and that count
        for the run as these do."""


Evaluate = Callable[[Forward, Tensor, Tensor, Contexts], Velocities]


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
    """Casts to the model's dtype at its border and back to float32; everything outside it is float32.

    ``steps`` is how many steps the run has: diffusers' caches ask for it. ``cache`` stands between this denoiser and
    its network.
    """

    def __init__(
        self,
        network: Network,
        *,
        expert: Expert,
        steps: int,
        evaluate: Evaluate,
        count: CountWork,
        cache: StageCache,
    ) -> None:
        self._network = network
        self._dtype = network.model.dtype  # looked up once: diffusers walks through all modules for it
        self._expert = expert
        self._steps = steps
        self._evaluate = evaluate
        self._count = count
        self._cache = cache

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Velocities (B, C, F, h, w), float32, of the branches in ``contexts`` (B, T, D).

        ``hidden_states`` (B, C_in, F, h, w); ``timestep`` (B,) or, one per token, (B, tokens).
        """
        forward = _Forward(
            self._network,
            videos=len(hidden_states),
            where={"step_index": step.index, "sigma": step.sigma, "num_inference_steps": self._steps},
            around=lambda branches: self._cache.during(step, branches),
            ran=lambda branches, work: self._ran(branches, work, hidden_states, contexts),
            meter=self._cache.meter,
        )
        return self._evaluated(forward, hidden_states, timestep, contexts)

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """As ``predict``, past every cache; the forwards are counted, their FLOPs are not the run's."""
        forward = _Forward(
            self._network,
            videos=len(hidden_states),
            where={},
            around=lambda branches: self._cache.aside(),
            ran=lambda branches, work: self._count_forwards(branches, hidden_states),
            meter=self._cache.meter,
        )
        return self._evaluated(forward, hidden_states, timestep, contexts)

    def _evaluated(self, forward: Forward, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        inputs = {branch: context.to(self._dtype) for branch, context in contexts.items()}
        velocities = self._evaluate(forward, hidden_states.to(self._dtype), timestep, inputs)
        return {branch: velocity.float() for branch, velocity in velocities.items()}

    def _ran(self, branches: Branches, work: Work, hidden_states: Tensor, contexts: Contexts) -> None:
        # where a cache leaves out a part of a batch, it is the unconditional one
        finished = tuple(branch for branch in Branch if branch in branches)[: work.samples // len(hidden_states)]
        self._count_forwards(finished, hidden_states)
        text_len = next(iter(contexts.values())).shape[1]
        flops = size_of(self._network.model, text_len=text_len).part_flops(self._tokens(hidden_states))
        self._count.work({part: flops[part] * count for part, count in work.parts.items()})

    def _count_forwards(self, branches: Branches, hidden_states: Tensor) -> None:
        for branch in branches:
            self._count(self._expert.value, branch, self._tokens(hidden_states))

    def _tokens(self, hidden_states: Tensor) -> int:
        return hidden_states[0, 0].numel() // _patch_volume(self._network.model)

    def state(self) -> Tree:
        """What the cache on its network remembers."""
        return self._cache.state()

    def restore(self, state: Tree) -> None:
        """Let the cache on its network remember it."""
        self._cache.restore(state)

    def release(self) -> None:
        """Let go of the model: observers may hold this object longer than its stage lasts."""
        del self._network, self._cache


@dataclass(frozen=True, kw_only=True, slots=True)
class _Forward:
    """One call of the network: in its cache context, watched by the stage's cache, and its work reported."""

    network: Network = field(kw_only=False)
    videos: int
    where: Mapping[str, float]
    around: Callable[[Branches], AbstractContextManager[None]]
    ran: Callable[[Branches, Work], None]
    meter: Meter

    def __call__(
        self, branches: Branches, hidden_states: Tensor, timestep: Tensor, context: Tensor, *, elsewhere: Branches = ()
    ) -> Tensor:
        name = "+".join(branch.value for branch in branches)
        with self.around(branches), self.network.model.cache_context(name, **self.where):
            velocity = self.network(hidden_states, timestep, context)
        work = self.meter.read(len(hidden_states))
        self.ran(branches, work)
        if elsewhere:  # a cache decides for all branches of a step alike
            self.ran(elsewhere, work)
        return velocity


def one_by_one(forward: Forward, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
    """A forward per branch, as the official code does."""
    return {branch: forward((branch,), hidden_states, timestep, context) for branch, context in contexts.items()}


def batched(forward: Forward, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
    """All branches in one forward along the batch axis: more memory, fewer and larger kernels.

    The unconditional branch stands first, as in diffusers, whose FasterCache relies on it.
    """
    branches = tuple(branch for branch in reversed(Branch) if branch in contexts)
    stacked = forward(
        branches,
        torch.cat([hidden_states] * len(branches)),
        torch.cat([timestep] * len(branches)),
        torch.cat([contexts[branch] for branch in branches]),
    )
    parts = dict(zip(branches, stacked.chunk(len(branches)), strict=True))
    return {branch: parts[branch] for branch in contexts}


def _patch_volume(model: WanTransformer3DModel) -> int:
    frames, rows, columns = model.config.patch_size
    return frames * rows * columns
