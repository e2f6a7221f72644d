"""Loading, offloading and prefetching of the two denoisers, stage by stage."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Protocol

import torch
from diffusers import WanTransformer3DModel

from wan.models.cache import WrapDenoiser, as_it_is
from wan.models.denoiser import BindNetwork, CountWork, Evaluate, TextConditioned, WanDenoiser
from wan.models.fixed_inputs import SetUp, inputs_kept
from wan.models.network_cache import CacheNetwork, uncached
from wan.models.positions import spaced_frames
from wan.sampling.observers import Observer
from wan.sampling.plan import Expert, Stage
from wan.sampling.protocols import Denoiser

Fill = Callable[[torch.device], WanTransformer3DModel]
"""Reads the weights to a device."""
Prepare = Callable[[Expert], Fill]
"""Checks an expert's files and makes its empty model; what it returns reads the weights, in any thread."""

CPU = torch.device("cpu")
NOWHERE = torch.device("meta")


class ExpertStore(Protocol):
    """Where the experts are while they do not work. ``observers``: what of it has to see every step."""

    @property
    def observers(self) -> Sequence[Observer]:
        """Most have none."""

    def take(self, expert: Expert) -> WanTransformer3DModel:
        """The expert, ready to run."""

    def give_back(self, model: WanTransformer3DModel) -> None:
        """Its stage is over."""


class KeptExperts:
    """Every expert stays on the device once it is there."""

    observers: Sequence[Observer] = ()

    def __init__(self, prepare: Prepare, *, device: torch.device) -> None:
        self._prepare = prepare
        self._device = device
        self._models: dict[Expert, WanTransformer3DModel] = {}

    def take(self, expert: Expert) -> WanTransformer3DModel:
        if expert not in self._models:
            self._models[expert] = self._prepare(expert)(self._device)
        return self._models[expert]

    def give_back(self, model: WanTransformer3DModel) -> None:
        pass

    def clear(self) -> None:
        """Drop them all."""
        self._models.clear()


class DroppedExperts:
    """One expert in memory at a time: read when its stage begins, dropped when it ends."""

    def __init__(self, prepare: Prepare, *, device: torch.device) -> None:
        self._prepare = prepare
        self._device = device

    def take(self, expert: Expert) -> WanTransformer3DModel:
        return self._prepare(expert)(self._device)

    def give_back(self, model: WanTransformer3DModel) -> None:
        # frees the weights whoever still holds the model
        model.to(NOWHERE)

    @property
    def observers(self) -> Sequence[Observer]:
        """None."""
        return ()


class LastExpert(DroppedExperts):
    """One expert in memory at a time, which stays from one run to the next, until the other one is taken."""

    def __init__(self, prepare: Prepare, *, device: torch.device) -> None:
        super().__init__(prepare, device=device)
        self._held: tuple[Expert, WanTransformer3DModel] | None = None

    def take(self, expert: Expert) -> WanTransformer3DModel:
        if self._held is None or self._held[0] is not expert:
            self.clear()
            self._held = expert, super().take(expert)
        return self._held[1]

    def give_back(self, model: WanTransformer3DModel) -> None:
        pass

    def clear(self) -> None:
        """Drop it."""
        if self._held is not None:
            super().give_back(self._held[1])
        self._held = None


class GroupedExperts:
    """An expert stays in host memory; its blocks visit the device in turn (diffusers' group offloading)."""

    observers: Sequence[Observer] = ()

    def __init__(self, prepare: Prepare, *, device: torch.device) -> None:
        self._prepare = prepare
        self._device = device

    def take(self, expert: Expert) -> WanTransformer3DModel:
        model = self._prepare(expert)(CPU)
        model.enable_group_offload(
            onload_device=self._device,
            offload_device=CPU,
            offload_type="block_level",
            num_blocks_per_group=1,
            # the next block comes while this one works
            use_stream=self._device.type == "cuda",
        )
        return model

    def give_back(self, model: WanTransformer3DModel) -> None:
        # the hooks hold the weights in reference cycles
        gc.collect()


class HeldOver:
    """An expert that works in the next stage of ``order``, too, stays where it is in between."""

    def __init__(self, store: ExpertStore, *, order: Sequence[Expert]) -> None:
        self._store = store
        self._stays = [now is following for now, following in pairwise(order)]
        self._held: WanTransformer3DModel | None = None
        self.observers = store.observers

    def take(self, expert: Expert) -> WanTransformer3DModel:
        model = self._held or self._store.take(expert)
        self._held = None
        return model

    def give_back(self, model: WanTransformer3DModel) -> None:
        if self._stays and self._stays.pop(0):
            self._held = model
        else:
            self._store.give_back(model)


class ExpertPool:
    """Hands out the denoiser of a stage; ``bind`` wraps a loaded transformer with its image features, if it has any.

    ``steps``: of the whole run. ``wrap`` puts a cache around every stage's denoiser (``wan.models.cache``),
    ``cache`` one on its network (``wan.models.network_cache``). ``set_up`` says how the
    network computes (``wan.models.engine``).
    """

    def __init__(
        self,
        store: ExpertStore,
        *,
        steps: int,
        evaluate: Evaluate,
        count: CountWork,
        bind: BindNetwork = TextConditioned,
        wrap: WrapDenoiser = as_it_is,
        cache: CacheNetwork = uncached,
        set_up: SetUp = inputs_kept,
    ) -> None:
        self._store = store
        self._steps = steps
        self._evaluate = evaluate
        self._count = count
        self._bind = bind
        self._wrap = wrap
        self._cache = cache
        self._set_up = set_up

    @contextmanager
    def resident(self, stage: Stage) -> Iterator[Denoiser]:
        """The stage's expert on the device for the length of the block; the denoiser is of no use after it."""
        model = self._store.take(stage.expert)
        try:
            with (
                spaced_frames(model, stage.position_stride),
                self._set_up(model),
                self._cache(model, stage) as cache,
            ):
                denoiser = WanDenoiser(
                    self._bind(model),
                    expert=stage.expert,
                    steps=self._steps,
                    evaluate=self._evaluate,
                    count=self._count,
                    cache=cache,
                )
                try:
                    yield self._wrap(denoiser)
                finally:
                    denoiser.release()
        finally:
            self._store.give_back(model)
