"""Ulysses: the ranks share a sequence; attention exchanges tokens for heads (DeepSpeed-Ulysses, arXiv:2309.14509).

diffusers computes the attention (``ContextParallelConfig``) and says where a Wan network is split and gathered
(``_cp_plan``). The splitting hooks are PyTorch's own, put on when everything else is in place: diffusers' hooks replace
a module's ``forward``, as its caches do, and ``enable_parallelism`` works once for a model, where ours is set up anew
for every stage and shared by other ranks from call to call.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig, WanTransformer3DModel
from diffusers.hooks.context_parallel import EquipartitionSharder, PartitionAnythingSharder
from diffusers.models._modeling_parallel import ParallelConfig
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from wan.models.network_cache import CacheNetwork, StageCache
from wan.parallel.team import Team
from wan.sampling.carried import Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Stage, Step

_TOKENS = 1
"""The axis of a sequence (B, tokens, ...)."""


@dataclass(frozen=True, slots=True)
class Sharers:
    """Ranks that share one sequence; None in the place of ``config``: this rank has it alone."""

    config: ContextParallelConfig | None

    @classmethod
    def of(cls, mesh: DeviceMesh, team: Team) -> "Sharers":
        """Those along the axis ``ulysses`` of a mesh, which has an axis ``ring`` of length one besides."""
        degree = mesh["ulysses"].size()
        if degree == 1:
            return cls(None)
        config = ContextParallelConfig(ulysses_degree=degree, mesh=mesh)
        config.setup(team.ranks.rank, team.ranks.size, team.device, mesh)
        return cls(config)

    def suit(self, tokens: int) -> None:
        """Equal parts where the tokens divide; else parts that differ by one, and exchange their sizes."""
        if self.config is not None:
            self.config.ulysses_anything = tokens % self.config.ulysses_degree != 0

    def part(self, sequence: Tensor) -> Tensor:
        """This rank's tokens."""
        if self.config is None:
            return sequence
        mesh = self.config._flattened_mesh
        if self.config.ulysses_anything:
            return PartitionAnythingSharder.shard_anything(sequence, _TOKENS, mesh)
        return EquipartitionSharder.shard(sequence, _TOKENS, mesh)

    def whole(self, part: Tensor) -> Tensor:
        """All tokens, on every rank."""
        if self.config is None:
            return part
        mesh = self.config._flattened_mesh
        if self.config.ulysses_anything:
            return _joined_unequal(part, mesh)
        return EquipartitionSharder.unshard(part, _TOKENS, mesh)


def _joined_unequal(part: Tensor, mesh: DeviceMesh) -> Tensor:
    """Parts that differ by at most one token, the longer ones first. diffusers' own way needs a backend that gathers
    tensors of unequal length, which gloo is not: here the short ones travel with one token more."""
    group = mesh.get_group()
    counts = [torch.empty(1, dtype=torch.int64, device=part.device) for _ in range(mesh.size())]
    dist.all_gather(counts, torch.tensor([part.shape[_TOKENS]], device=part.device), group=group)
    lengths = [int(count) for count in counts]
    padding = max(lengths) - part.shape[_TOKENS]
    padded = torch.cat([part, part[:, :padding]], dim=_TOKENS).contiguous()
    found = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(found, padded, group=group)
    return torch.cat([one[:, :length] for one, length in zip(found, lengths, strict=True)], dim=_TOKENS)


NOBODY = Sharers(None)


class SharedSequence:
    """Which ranks share the sequence of the network that is at work now; all ranks change it in the same order."""

    def __init__(self, team: Team) -> None:
        sharing = team.sharing
        names = ("branches", "ring", "ulysses")
        self.everyone = Sharers.of(team.mesh(1, 1, team.ranks.size, names=names), team)
        self.own, self.counterparts = self.everyone, None
        if sharing.branches > 1:
            mesh = team.mesh(sharing.branches, 1, sharing.sequence, names=names)
            self.own, self.counterparts = Sharers.of(mesh, team), mesh["branches"].get_group()
        self._team = team
        self._processors: list[Any] = []
        self._now = self.everyone

    @property
    def is_alone(self) -> bool:
        """Whether every rank computes everything, for a comparison."""
        return self._now is NOBODY

    @contextmanager
    def among(self, sharers: Sharers) -> Iterator[None]:
        """For the length of the block these ranks share the sequence."""
        before, self._now = self._now, sharers
        self._tell_attention()
        try:
            yield
        finally:
            self._now = before
            self._tell_attention()

    def on(self, network: CacheNetwork) -> CacheNetwork:
        """The same cache on the network, whose sequence is shared: what it keeps and compares is this rank's part."""

        @contextmanager
        def shared(model: WanTransformer3DModel, stage: Stage) -> Iterator[StageCache]:
            with network(model, stage) as cache, self._hooks(model):
                yield _CacheOfRanks(cache, self._team)

        return shared

    @contextmanager
    def _hooks(self, model: WanTransformer3DModel) -> Iterator[None]:
        """The model takes and gives whole sequences, and its blocks see parts."""
        attentions = [module for module in model.modules() if hasattr(module, "processor")]
        self._processors = [attention.processor for attention in attentions]
        self._tell_attention()
        with ExitStack() as stack:
            for handle in (
                model.register_forward_pre_hook(self._split_inputs, with_kwargs=True),
                model.rope.register_forward_hook(self._split_tables),
                model.blocks[0].register_forward_pre_hook(self._split_states),
                model.proj_out.register_forward_hook(self._gather),
            ):
                stack.callback(handle.remove)
            yield
        for processor in self._processors:
            processor._parallel_config = None
        self._processors = []

    def _tell_attention(self) -> None:
        config = self._now.config
        parallel = None if config is None else ParallelConfig(context_parallel_config=config)
        for processor in self._processors:
            processor._parallel_config = parallel

    def _split_inputs(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        config: Any = model.config
        self._now.suit(kwargs["hidden_states"][0, 0].numel() // prod(config.patch_size))
        timestep = kwargs["timestep"]
        if timestep.ndim > 1:  # one for each token
            kwargs = kwargs | {"timestep": self._now.part(timestep)}
        return args, kwargs

    def _split_tables(self, rope: nn.Module, args: Any, tables: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(self._now.part(table) for table in tables)

    def _split_states(self, block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._now.part(args[0]), *args[1:])

    def _gather(self, layer: nn.Module, args: Any, part: Tensor) -> Tensor:
        return self._now.whole(part)


class _CacheOfRanks(StageCache):
    """A cache whose memory is spread over the ranks: its state is that of all of them, on rank 0."""

    def __init__(self, cache: StageCache, team: Team) -> None:
        super().__init__(cache.meter)
        self.during = cache.during  # type: ignore[method-assign]
        self.aside = cache.aside  # type: ignore[method-assign]
        self._cache = cache
        self._team = team

    def state(self) -> Tree:
        return {"ranks": self._team.gathered(self._cache.state())}

    def restore(self, state: Tree) -> None:
        self._cache.restore(state["ranks"][self._team.ranks.rank])


class RanksAgree:
    """Decisions of a cache rest on the whole sequence, and on the branch that decides, wherever they are."""

    def __init__(self, team: Team, *, has_own_branch: bool) -> None:
        self._branch = own_branch(team) if has_own_branch else None

    def own_branches(self, step: Step) -> tuple[Branch, ...]:
        return step.branches if self._branch is None else tuple({self._branch} & set(step.branches))

    def total(self, sums: Tensor) -> Tensor:
        added = sums.clone()
        dist.all_reduce(added)
        return added


def own_branch(team: Team) -> Branch:
    """The guidance branch of this rank's half."""
    return list(Branch)[team.ranks.rank // team.sharing.sequence]
