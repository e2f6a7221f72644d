"""Caches on a network: put on a stage's model when the stage begins, and taken off again when it ends.

A cache of this kind reuses what the blocks computed. It is a function of the model and the stage that gives a context
manager, so its state is new in every stage: on another expert, and on another number of frames. ``DiffusersCache`` puts
any cache of diffusers on; a cache of our own yields its own ``StageCache``. Nothing stays on a kept model.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from diffusers import WanTransformer3DModel
from diffusers.hooks import HookRegistry
from diffusers.hooks.hooks import StateManager
from torch import nn

from wan.models.metering import Meter, WholeForwards, metered_blocks
from wan.sampling.carried import Carries, Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Stage, Step

_REGISTRY = "_diffusers_hook"


class StageCache(Carries):
    """What a denoiser tells the cache on its network; this base class caches nothing.

    ``meter`` knows what really ran.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def during(self, step: Step, branches: tuple[Branch, ...]) -> AbstractContextManager[None]:
        """Around every call of the network for a step of the plan, with the branches along its batch axis."""
        return nullcontext()

    def aside(self) -> AbstractContextManager[None]:
        """Around an instrument's call, which the cache neither answers nor remembers."""
        return nullcontext()


CacheNetwork = Callable[[WanTransformer3DModel, Stage], AbstractContextManager[StageCache]]
"""Puts a cache on the model of a stage for the length of the stage."""


@contextmanager
def uncached(model: WanTransformer3DModel, stage: Stage) -> Iterator[StageCache]:
    """No cache."""
    yield StageCache(WholeForwards(len(model.blocks)))


@dataclass(slots=True)
class Clock:
    """The step that a stage is at, for configurations of diffusers that ask for the timestep."""

    step: Step

    @property
    def timestep(self) -> int:
        return self.step.timestep


ConfigFor = Callable[[Stage, Clock], Any]
"""Makes the diffusers cache configuration of a stage: ``lambda stage, clock: FirstBlockCacheConfig(threshold=0.1)``,
or with ``current_timestep_callback=lambda: clock.timestep``."""


class DiffusersCache:
    """Any cache of diffusers (``SeaCacheConfig``, ``PyramidAttentionBroadcastConfig``, ...) as a ``CacheNetwork``.

    Every call of the network has a cache context: named by its branch (both names with ``--batch_cfg``), with
    ``step_index`` and ``sigma`` of the step and ``num_inference_steps`` of the run, which SeaCache needs.
    ``FasterCacheConfig`` needs batched guidance; the unconditional branch stands first, as it expects.
    """

    def __init__(self, config_for: ConfigFor) -> None:
        self._config_for = config_for

    @contextmanager
    def __call__(self, model: WanTransformer3DModel, stage: Stage) -> Iterator[StageCache]:
        clock = Clock(stage.steps[0])
        bare = _Forwards(model)
        with metered_blocks(model) as meter, ExitStack() as stack:
            stack.callback(_take_off, model, bare)
            model.enable_cache(self._config_for(stage, clock))
            yield _Hooked(meter, model, clock, bare=bare, hooked=_Forwards(model))


class _Hooked(StageCache):
    """diffusers' hooks, told the step; an instrument's calls go past them."""

    def __init__(
        self, meter: Meter, model: WanTransformer3DModel, clock: Clock, *, bare: "_Forwards", hooked: "_Forwards"
    ) -> None:
        super().__init__(meter)
        self._model = model
        self._clock = clock
        self._last_branches = clock.step.branches
        self._bare = bare
        self._hooked = hooked

    @contextmanager
    def during(self, step: Step, branches: tuple[Branch, ...]) -> Iterator[None]:
        if not set(step.branches) <= set(self._last_branches):
            # a branch comes back that the step before did not have: all start anew, or they would decide apart
            HookRegistry.check_if_exists_or_initialize(self._model).reset_stateful_hooks()
        self._clock.step, self._last_branches = step, step.branches
        yield

    def state(self) -> Tree:
        """What the hooks remember of every context (``StateManager``), and the branches of the last step."""
        contexts = [{name: vars(state) for name, state in manager._state_cache.items()} for manager in self._managers()]
        return {"branches": self._last_branches, "contexts": contexts}

    def restore(self, state: Tree) -> None:
        """As ``state`` gave it."""
        self._last_branches = state["branches"]
        for manager, contexts in zip(self._managers(), state["contexts"], strict=True):
            for name, remembered in contexts.items():
                made = manager._state_cache[name] = manager._state_cls(*manager._init_args, **manager._init_kwargs)
                vars(made).update(remembered)

    def _managers(self) -> list[StateManager]:
        """The hooks' memories, each once: hooks of one cache share theirs."""
        registries = [getattr(module, _REGISTRY) for module in self._model.modules() if hasattr(module, _REGISTRY)]
        found = [
            memory
            for registry in registries
            for hook in registry.hooks.values()
            for memory in vars(hook).values()
            if isinstance(memory, StateManager)
        ]
        return list({id(memory): memory for memory in found}.values())

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._bare.restore()
        try:
            yield
        finally:
            self._hooked.restore()


class _Forwards:
    """The ``forward`` that every module of a model has at one moment, and its hooks by name.

    diffusers' hooks replace ``forward`` on the instance; those that were there before (group offloading) stay.
    """

    def __init__(self, model: nn.Module) -> None:
        self._forwards = {module: module.__dict__.get("forward") for module in model.modules()}
        self.hooks = {
            module: tuple(getattr(module, _REGISTRY).hooks) for module in model.modules() if hasattr(module, _REGISTRY)
        }

    def restore(self) -> None:
        """Give every module its ``forward`` of that moment back."""
        for module, forward in self._forwards.items():
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def _take_off(model: WanTransformer3DModel, bare: _Forwards) -> None:
    """Remove every hook that was not there before, with its state; also after a configuration that failed half-way."""
    for module in list(model.modules()):
        registry: HookRegistry | None = getattr(module, _REGISTRY, None)
        if registry is None:
            continue
        for name in [name for name in reversed(registry.hooks) if name not in bare.hooks.get(module, ())]:
            registry.remove_hook(name, recurse=False)
        if module not in bare.hooks:
            delattr(module, _REGISTRY)
    model._cache_config = None
    if model in bare.hooks:
        HookRegistry.check_if_exists_or_initialize(model).invalidate_child_registries_cache()
    bare.restore()
