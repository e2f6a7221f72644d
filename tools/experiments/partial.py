"""Forwards that compute a part of their tokens and take the rest from the last time that it was computed.

Two policies. *By change*: the tokens whose latent changed most since they were last computed (founding documents).
*Every second frame*: the change of the kept frames' x0 since a step at which both all and half of the frames were
computed is interpolated to the frames between them.
"""

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from experiments.bench import HEAD, Bench, row
from wan.models.block_cache import CachedBlocks, block_cache
from wan.models.network_cache import StageCache, uncached
from wan.models.positions import spaced_frames
from wan.sampling.carried import Carries
from wan.sampling.completion import interpolate_frames
from wan.sampling.geometry import half_latent_frames
from wan.sampling.guidance import Branch
from wan.sampling.plan import Plan, Stage, Step
from wan.sampling.price import TEXT_KEYS
from wan.sampling.protocols import Contexts, Denoiser, Velocities

SHARES = (0.75, 0.5, 0.25)


class ChangedTokens(CachedBlocks):
    """At every step but the first of a stage a share of the tokens goes through the blocks; the others keep what the
    blocks added to them when they were last computed, for each branch.

    ``sees_all``: the chosen tokens attend to all tokens, the others as they were in every block when last computed
    (an implementation would keep their keys and values); else to each other alone.
    """

    def __init__(self, blocks: nn.ModuleList, *, share: float, sees_all: bool) -> None:
        super().__init__(blocks)
        self._share, self._sees_all = share, sees_all
        self._seen: dict[Branch, Tensor] = {}
        self._added: dict[Branch, Tensor] = {}
        self._inputs: dict[Branch, list[Tensor]] = {}

    def cached_forward(
        self, step: Step, branches: tuple[Branch, ...], hidden_states: Tensor, conditions: tuple
    ) -> Tensor:
        """Hidden states (B, tokens, D) of one branch: this experiment evaluates the branches one by one."""
        (branch,) = branches
        if branch not in self._seen:
            output = self._all_tokens(branch, hidden_states, conditions)
            self._seen[branch], self._added[branch] = hidden_states.clone(), output - hidden_states
            return output
        chosen = self._chosen(branch, hidden_states)
        text, modulation, (cos, sin) = conditions
        start = _take(hidden_states, chosen)
        if self._sees_all:
            end = self._among_all(branch, start, chosen, conditions)
        else:
            rotary = tuple(
                _take(table.squeeze(2).expand(len(chosen), -1, -1), chosen)[:, :, None] for table in (cos, sin)
            )
            end = self.run(self._blocks, start, (text, modulation, rotary))
        self._seen[branch] = _put(self._seen[branch], chosen, start)
        self._added[branch] = _put(self._added[branch], chosen, end - start)
        return hidden_states + self._added[branch]

    def _chosen(self, branch: Branch, hidden_states: Tensor) -> Tensor:
        change = (hidden_states - self._seen[branch]).square().sum(-1)
        return change.topk(max(1, round(self._share * change.shape[1])), dim=1).indices

    def _all_tokens(self, branch: Branch, hidden_states: Tensor, conditions: tuple) -> Tensor:
        inputs = []
        for block in self._blocks:
            inputs.append(hidden_states)
            hidden_states = block(hidden_states, *conditions)
        self._inputs[branch] = inputs
        return hidden_states

    def _among_all(self, branch: Branch, hidden_states: Tensor, chosen: Tensor, conditions: tuple) -> Tensor:
        for place, block in enumerate(self._blocks):
            self._inputs[branch][place] = _put(self._inputs[branch][place], chosen, hidden_states)
            hidden_states = _take(block(self._inputs[branch][place], *conditions), chosen)
        return hidden_states


class SecondFrames(Carries):
    """At the steps ``halved`` every second frame is computed; ``anchors`` are steps that compute all and half."""

    def __init__(self, *, anchors: Collection[int], halved: Collection[int]) -> None:
        self._anchors, self._halved = anchors, halved
        self._all: Velocities = {}
        self._half: Velocities = {}

    @contextmanager
    def on(self, model: WanTransformer3DModel, stage: Stage) -> Iterator[StageCache]:
        """A ``CacheNetwork`` that changes nothing and learns which model the stage has."""
        self._model = model
        with uncached(model, stage) as cache:
            yield cache

    def wrap(self, denoiser: Denoiser) -> Denoiser:
        self._denoiser = denoiser
        return self

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """As ``Denoiser.predict``."""
        if step.index in self._halved:
            now, frames = self._half_x0(step, hidden_states, timestep, contexts), hidden_states.shape[2]
            moved = {b: self._all[b] + interpolate_frames(now[b] - self._half[b], frames) for b in contexts}
            return {branch: (hidden_states - x0) / step.sigma for branch, x0 in moved.items()}
        velocities = self._denoiser.predict(step, hidden_states, timestep, contexts)
        if step.index in self._anchors:
            self._all = {branch: hidden_states - step.sigma * v for branch, v in velocities.items()}
            self._half = self._half_x0(step, hidden_states, timestep, contexts)
        return velocities

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Past it."""
        return self._denoiser.predict_beside(hidden_states, timestep, contexts)

    def _half_x0(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        kept = hidden_states[:, :, ::2].contiguous()
        with spaced_frames(self._model, 2):
            velocities = self._denoiser.predict(step, kept, timestep, contexts)
        return {branch: kept - step.sigma * velocity for branch, velocity in velocities.items()}


SECOND_FRAMES = {
    "anchor 8, half 9 to 13": ([7], range(8, 13)),
    "anchor 4, half 5 to 13": ([3], range(4, 13)),
    "anchor 1, 4, 7, 10, half between": ([0, 3, 6, 9], [1, 2, 4, 5, 7, 8, 10, 11, 12]),
}
"""Steps that compute both, and steps that compute half, counted from 0; the names count from 1."""


def measure(bench: Bench, *, tick: Callable[[], object]) -> str:
    """Every policy, as Markdown."""
    lines = [HEAD]
    for sees_all in (True, False):
        for share in SHARES:
            score = bench.score(
                bench.plain,
                cost=pruned_cost(bench, share, sees_all=sees_all),
                cache=block_cache(functools.partial(ChangedTokens, share=share, sees_all=sees_all)),
            )
            lines.append(row(f"{share:.0%} of the tokens, attending to {'all' if sees_all else 'each other'}", score))
            tick()
    for name, (anchors, halved) in SECOND_FRAMES.items():
        policy = SecondFrames(anchors=anchors, halved=halved)
        cost = second_frames_cost(bench, anchors=len(anchors), halved=len(halved))
        lines.append(row(name, bench.score(bench.plain, cost=cost, wrap=policy.wrap, cache=policy.on)))
        tick()
    return "\n".join(lines)


def pruned_cost(bench: Bench, share: float, *, sees_all: bool) -> float:
    """FLOPs over the plain plan's: all tokens at the first step of every stage, the share at the others.

    Tokens that see all of them cost their share of a forward, as if the others' keys and values were kept.
    """
    plan, whole = bench.plain, _forward(bench, 1.0)
    part = share * whole if sees_all else _forward(bench, share)
    first = len(plan.stages)
    return (first * whole + (len(plan.steps) - first) * part) / (len(plan.steps) * whole)


def second_frames_cost(bench: Bench, *, anchors: int, halved: int) -> float:
    """FLOPs over the plain plan's."""
    plan: Plan = bench.plain
    frames = plan.geometry.latent_frames
    half = _forward(bench, half_latent_frames(frames) / frames) / _forward(bench, 1.0)
    return (len(plan.steps) - halved + half * (halved + anchors)) / len(plan.steps)


def _forward(bench: Bench, share: float) -> float:
    """FLOPs of a block over a share of the tokens. The text's keys are left out: they are computed once for a stage."""
    tokens = bench.plain.geometry.tokens(bench.plain.geometry.latent_frames)
    parts = bench.size.part_flops(round(share * tokens))
    return sum(flops for part, flops in parts.items() if part != TEXT_KEYS)


def _take(states: Tensor, chosen: Tensor) -> Tensor:
    """(B, tokens, D) at (B, n): (B, n, D)."""
    return states.gather(1, chosen[:, :, None].expand(-1, -1, states.shape[-1]))


def _put(states: Tensor, chosen: Tensor, values: Tensor) -> Tensor:
    """A copy of (B, tokens, D) with (B, n, D) at (B, n)."""
    return states.scatter(1, chosen[:, :, None].expand(-1, -1, states.shape[-1]), values.to(states.dtype))
