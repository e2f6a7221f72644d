"""What a pipeline asks of its team: how branches are evaluated, how caches and weights are spread, what is checked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from wan.loading.component import WHOLE, Spread
from wan.models.block_cache import ALONE as ONE_PROCESS
from wan.models.block_cache import Agreement
from wan.models.cache import WrapDenoiser
from wan.models.denoiser import Evaluate
from wan.models.network_cache import CacheNetwork, uncached
from wan.parallel.branches import BranchParallel, halves_can_work
from wan.parallel.check import TOLERANCES, FirstStepChecked
from wan.parallel.sequence import RanksAgree, SharedSequence
from wan.parallel.sharing import refuse_heads
from wan.parallel.team import ALONE, Team
from wan.parallel.weights import SpreadOverRanks, denoiser_blocks, text_blocks
from wan.sampling.carried import Carries
from wan.sampling.plan import Plan

Texts = dict[str, Tensor]
"""Embeddings (1, T, D) by text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunShares:
    """How one run is computed: what stands in the places of the parts that one process would use."""

    evaluate: Evaluate
    network: CacheNetwork
    wrap: Callable[[WrapDenoiser], WrapDenoiser]


class Crew(Protocol):
    """One process alone, or a team."""

    team: Team
    experts: Spread
    text: Spread

    @property
    def is_spread(self) -> bool:
        """Whether no rank has a whole expert."""

    def encoded(self, make: Callable[[], Texts]) -> Texts:
        """Text embeddings on every rank, which ``make`` computes where it is called."""

    def agreement(self, plan: Plan) -> Agreement:
        """What the plan's cache decides by."""

    def shares(
        self, plan: Plan, evaluate: Evaluate, network: CacheNetwork, *, dtype: torch.dtype, counter: Carries
    ) -> RunShares:
        """For a run of a plan, which one process would evaluate by ``evaluate``, with the cache ``network``."""


class OneProcess:
    """Nothing is shared."""

    team: Team = ALONE
    experts: Spread = WHOLE
    text: Spread = WHOLE
    is_spread = False

    def encoded(self, make: Callable[[], Texts]) -> Texts:
        return make()

    def agreement(self, plan: Plan) -> Agreement:
        return ONE_PROCESS

    def shares(
        self, plan: Plan, evaluate: Evaluate, network: CacheNetwork, *, dtype: torch.dtype, counter: Carries
    ) -> RunShares:
        return RunShares(evaluate=evaluate, network=network, wrap=_as_it_is)


class Several:
    """The ranks of a team."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self._sequence = SharedSequence(team)
        ranks = team.mesh(team.ranks.size, names=("ranks",))
        self.experts: Spread = SpreadOverRanks(ranks, denoiser_blocks) if team.sharing.experts else WHOLE
        self.text: Spread = SpreadOverRanks(ranks, text_blocks) if team.sharing.text else WHOLE

    @property
    def is_spread(self) -> bool:
        return self.team.sharing.experts

    def encoded(self, make: Callable[[], Texts]) -> Texts:
        if not self.team.sharing.text:
            return self.team.from_leader(make)
        texts = make()  # all ranks have a part of the encoder
        return self.team.from_leader(lambda: texts)

    def agreement(self, plan: Plan) -> Agreement:
        return RanksAgree(self.team, has_own_branch=self._has_halves(plan, is_cached=plan.cache is not None))

    def shares(
        self, plan: Plan, evaluate: Evaluate, network: CacheNetwork, *, dtype: torch.dtype, counter: Carries
    ) -> RunShares:
        halves = self._has_halves(plan, is_cached=network is not uncached)
        tolerance = TOLERANCES[str(dtype).removeprefix("torch.")]
        checks = FirstStepChecked(self._sequence, tolerance=tolerance, counter=counter)
        return RunShares(
            evaluate=BranchParallel(self.team, self._sequence) if halves else evaluate,
            network=self._sequence.on(network),
            wrap=checks.wrap if self.team.sharing.check else _as_it_is,
        )

    def _has_halves(self, plan: Plan, *, is_cached: bool) -> bool:
        return self.team.sharing.branches > 1 and halves_can_work(plan.stages, is_cached=is_cached)


def crew_of(team: Team, *, heads: int) -> Crew:
    """The crew of a team for a model with so many heads; all ranks must make it, and at the same time.

    ``InvalidInput`` when the heads do not divide.
    """
    refuse_heads(team.sharing, heads=heads)
    return OneProcess() if team.is_alone else Several(team)


def _as_it_is(wrap: WrapDenoiser) -> WrapDenoiser:
    return wrap
