"""CFG-parallel: each guidance branch on its own half of the ranks; a step of one branch has all ranks share it."""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from wan.models.denoiser import Forward, one_by_one
from wan.parallel.sequence import SharedSequence, own_branch
from wan.parallel.team import Team
from wan.sampling.plan import Stage
from wan.sampling.protocols import Contexts, Velocities


class BranchParallel:
    """An ``Evaluate``: half of the ranks evaluates the conditional branch, the other half the unconditional one."""

    def __init__(self, team: Team, sequence: SharedSequence) -> None:
        self._own = own_branch(team)
        self._sequence = sequence

    def __call__(self, forward: Forward, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Velocities (B, C, F, h, w) of all branches, the same bits on all ranks."""
        if len(contexts) == 1 or self._sequence.is_alone:
            return one_by_one(forward, hidden_states, timestep, contexts)
        others = tuple(branch for branch in contexts if branch is not self._own)
        with self._sequence.among(self._sequence.own):
            velocity = forward((self._own,), hidden_states, timestep, contexts[self._own], elsewhere=others)
        found = [torch.empty_like(velocity) for _ in range(2)]
        dist.all_gather(found, velocity.contiguous(), group=self._sequence.counterparts)
        by_half = dict(zip(type(self._own), found, strict=True))
        return {branch: by_half[branch] for branch in contexts}


def halves_can_work(stages: Iterable[Stage], *, is_cached: bool) -> bool:
    """Whether each half of the ranks may keep to its branch. What a cache inside the network keeps belongs to one
    partition of the tokens, so it must not meet steps of one branch and of two in one stage."""
    counts = ({len(step.branches) for step in stage.steps} for stage in stages)
    return not is_cached or all(len(count) == 1 for count in counts)
