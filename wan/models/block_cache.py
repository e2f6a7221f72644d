"""Caches of the blocks' residual, our own: MagCache, whose skips the plan decides, and the first-block cache.

The residual of a forward is what its blocks add to the hidden states, of the last block's output minus the input of
the first. It is kept for each branch. For the length of a stage one module stands in for all blocks of the model.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from wan.models.metering import Meter, metered_blocks
from wan.models.network_cache import CacheNetwork, StageCache
from wan.sampling.carried import Carries, Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Stage, Step

Residuals = dict[Branch, Tensor]
"""(B, tokens, D) per branch."""


class Agreement(Protocol):
    """What a decision of a cache rests on where several processes compute one forward."""

    def own_branches(self, step: Step) -> tuple[Branch, ...]:
        """The branches of a step that this process evaluates."""

    def total(self, sums: Tensor) -> Tensor:
        """Sums over the part of this process, added up over all parts."""


class OneProcess:
    """Everything is computed here."""

    def own_branches(self, step: Step) -> tuple[Branch, ...]:
        return step.branches

    def total(self, sums: Tensor) -> Tensor:
        return sums


ALONE = OneProcess()


class CachedBlocks(Carries, nn.Module):
    """All blocks as one. A subclass says in ``cached_forward`` what a forward of the run does; an instrument's computes
    all blocks."""

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self._blocks = blocks
        self._now: tuple[Step, tuple[Branch, ...]] | None = None

    def forward(self, hidden_states: Tensor, *conditions: Tensor) -> Tensor:
        """Hidden states (B, tokens, D) through the blocks; ``conditions``: text, modulation and rotary tables."""
        if self._now is None:
            return self.run(self._blocks, hidden_states, conditions)
        step, branches = self._now
        return self.cached_forward(step, branches, hidden_states, conditions)

    def run(self, blocks: Sequence[nn.Module] | nn.ModuleList, hidden_states: Tensor, conditions: tuple) -> Tensor:
        """Hidden states through some of the blocks."""
        for block in blocks:
            hidden_states = block(hidden_states, *conditions)
        return hidden_states

    def cached_forward(
        self, step: Step, branches: tuple[Branch, ...], hidden_states: Tensor, conditions: tuple
    ) -> Tensor:
        """A forward of the run, its ``branches`` in equal parts along the batch axis."""
        raise NotImplementedError

    @contextmanager
    def at(self, step: Step, branches: tuple[Branch, ...]) -> Iterator[None]:
        """For the length of the block a forward belongs to a step of the run."""
        self._now = step, branches
        try:
            yield
        finally:
            self._now = None


class PlannedResiduals(CachedBlocks):
    """MagCache: where the plan has the step from the cache, its branches take the residuals that they had last."""

    carries = ("_kept",)

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__(blocks)
        self._kept: Residuals = {}

    def cached_forward(
        self, step: Step, branches: tuple[Branch, ...], hidden_states: Tensor, conditions: tuple
    ) -> Tensor:
        if step.cached.issuperset(branches):
            return hidden_states + _joined(self._kept, branches)
        output = self.run(self._blocks, hidden_states, conditions)
        self._kept |= _parted(output - hidden_states, branches)
        return output


class FirstBlockDecides(CachedBlocks):
    """First-block cache: the first block runs at every step, and when what it adds has changed little since the last
    computed step, the others are skipped and add what they added then.

    The change is the mean absolute difference relative to the mean absolute value, as in diffusers. It is measured on
    the conditional branch (the only one, where a step evaluates one), which decides for the whole step.
    """

    carries = ("_firsts", "_rests", "_decided")

    def __init__(self, blocks: nn.ModuleList, *, threshold: float, agreement: Agreement = ALONE) -> None:
        super().__init__(blocks)
        self._threshold = threshold
        self._agreement = agreement
        self._firsts: Residuals = {}
        self._rests: Residuals = {}
        self._decided: tuple[int, bool] | None = None

    def cached_forward(
        self, step: Step, branches: tuple[Branch, ...], hidden_states: Tensor, conditions: tuple
    ) -> Tensor:
        first = self.run(self._blocks[:1], hidden_states, conditions)
        added = _parted(first - hidden_states, branches)
        if self._skips(step, added):
            return first + _joined(self._rests, branches)
        output = self.run(self._blocks[1:], first, conditions)
        self._firsts |= added
        self._rests |= _parted(output - first, branches)
        return output

    @torch.compiler.disable
    def _skips(self, step: Step, added: Residuals) -> bool:
        """One decision a step, made at its first forward; a step that is computed forgets what was kept."""
        if self._decided is None or self._decided[0] != step.index:
            is_kept = self._rests.keys() >= set(self._agreement.own_branches(step))
            decided = is_kept and self._changed_little(added, step.branches[0])
            self._decided = step.index, decided
            if not decided:
                self._firsts.clear()
                self._rests.clear()
        return self._decided[1]

    def _changed_little(self, added: Residuals, leader: Branch) -> bool:
        measured = torch.zeros(2, device=next(iter(added.values())).device)
        if leader in added:
            before = self._firsts[leader]
            parts = (added[leader] - before, before)
            measured = torch.stack([part.abs().sum(dtype=torch.float32) for part in parts])
        change, size = self._agreement.total(measured)
        return float(change / size) < self._threshold


def block_cache(make: Callable[[nn.ModuleList], CachedBlocks]) -> CacheNetwork:
    """The ``CacheNetwork`` that puts a new ``make(blocks)`` in the place of a stage's blocks."""

    @contextmanager
    def on(model: WanTransformer3DModel, stage: Stage) -> Iterator[StageCache]:
        blocks = model.blocks
        with metered_blocks(model) as meter:
            cached = make(blocks)
            model.blocks = nn.ModuleList([cached])
            try:
                yield _OnBlocks(meter, cached)
            finally:
                model.blocks = blocks

    return on


class _OnBlocks(StageCache):
    def __init__(self, meter: Meter, blocks: CachedBlocks) -> None:
        super().__init__(meter)
        self._blocks = blocks

    @contextmanager
    def during(self, step: Step, branches: tuple[Branch, ...]) -> Iterator[None]:
        with self._blocks.at(step, branches):
            yield

    def state(self) -> Tree:
        return self._blocks.state()

    def restore(self, state: Tree) -> None:
        self._blocks.restore(state)


def _parted(states: Tensor, branches: tuple[Branch, ...]) -> Residuals:
    return dict(zip(branches, states.chunk(len(branches)), strict=True))


def _joined(kept: Residuals, branches: tuple[Branch, ...]) -> Tensor:
    return torch.cat([kept[branch] for branch in branches])
