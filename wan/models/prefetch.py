"""Prefetching: the next expert is read into host memory during the last steps of the one before it."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from threading import Thread
from time import perf_counter

import torch
from diffusers import WanTransformer3DModel

from wan.models.experts import (
    CPU,
    DroppedExperts,
    ExpertStore,
    Fill,
    GroupedExperts,
    HeldOver,
    KeptExperts,
    LastExpert,
    Prepare,
)
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Expert, Stage

MayPrefetch = Callable[[torch.device], bool]
"""Asked at the start of a run in which another expert follows."""
LAST_STEPS = 2
"""The next expert is on its way at least so many steps before it is needed,"""
MARGIN = 2.0
"""and so many times as early as the first expert took to read: that one may have been in the disk's cache."""
_PAGE_BYTES = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """``steps`` steps in a row that one expert makes, over one stage or several."""

    expert: Expert
    steps: int


def turns_of(stages: Sequence[Stage]) -> list[Turn]:
    """The experts in the order of a run."""
    return [
        Turn(expert=expert, steps=sum(len(stage.steps) for stage in same))
        for expert, same in groupby(stages, key=lambda stage: stage.expert)
    ]


class PrefetchedExperts(DroppedExperts, Observer):
    """Like ``DroppedExperts``, and a thread reads the next expert into host memory before its turn comes.

    It begins when the steps that are left of the present turn take as long as reading an expert, with a margin: two
    experts are in memory for as short a time as can be.
    """

    def __init__(
        self,
        prepare: Prepare,
        *,
        device: torch.device,
        turns: Sequence[Turn],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        super().__init__(prepare, device=device)
        self._clock = clock
        self._fetched: Future[WanTransformer3DModel] | None = None
        self._turns = iter(turns)
        self._following = next(self._turns, None)
        self._left = self._done = 0
        self._read_seconds = self._begun = 0.0

    def take(self, expert: Expert) -> WanTransformer3DModel:
        start, fetched = self._clock(), self._fetched
        model = super().take(expert) if fetched is None else fetched.result().to(self._device)
        if fetched is None:
            self._read_seconds = self._clock() - start
        turn, self._following, self._fetched = self._following, next(self._turns, None), None
        self._left, self._done, self._begun = 0 if turn is None else turn.steps, 0, self._clock()
        return model

    @property
    def observers(self) -> Sequence[Observer]:
        """Itself; not kept, so that a run that is broken off frees the expert that was fetched."""
        return (self,)

    def on_step_end(self, event: StepEvent) -> None:
        """Begin to read when it is time."""
        self._left, self._done = self._left - 1, self._done + 1
        if self._following is not None and self._fetched is None and self._left <= self._steps_ahead():
            self._fetched = _fetching(self._prepare(self._following.expert))

    def _steps_ahead(self) -> int:
        step_seconds = (self._clock() - self._begun) / self._done
        reading = math.ceil(MARGIN * self._read_seconds / step_seconds) if step_seconds > 0 else 0
        return max(LAST_STEPS, reading)


class ExpertStores:
    """The stores of a pipeline's runs: what one run leaves on the device serves the next one."""

    def __init__(self, prepare: Prepare, *, device: torch.device, may_prefetch: MayPrefetch) -> None:
        self._prepare = prepare
        self._device = device
        self._may_prefetch = may_prefetch
        self._kept = KeptExperts(prepare, device=device)
        self._last: LastExpert | None = None

    def hold_last(self) -> None:
        """With offloading by experts, too, let the last expert of a run wait for the next run."""
        self._last = LastExpert(self._prepare, device=self._device)

    def of_run(self, mode: str, stages: Sequence[Stage]) -> ExpertStore:
        """The store of a run of ``stages``; ``mode`` is none, expert or group, the offloading."""
        if mode == "none":
            return self._kept
        self._kept.clear()
        if mode == "expert" and self._last is not None:
            return self._last
        turns = turns_of(stages)
        store = self._offloading(mode, turns)
        return store if len(turns) == len(stages) else HeldOver(store, order=[stage.expert for stage in stages])

    def _offloading(self, mode: str, turns: Sequence[Turn]) -> ExpertStore:
        if mode == "group":
            return GroupedExperts(self._prepare, device=self._device)
        if len(turns) > 1 and self._may_prefetch(self._device):
            return PrefetchedExperts(self._prepare, device=self._device, turns=turns)
        return DroppedExperts(self._prepare, device=self._device)


def _fetching(fill: Fill) -> "Future[WanTransformer3DModel]":
    """Read in a thread that no end of the process waits for, unlike those of an executor."""
    future: Future[WanTransformer3DModel] = Future()

    def work() -> None:
        try:
            future.set_result(_fetch(fill))
        except BaseException as error:  # noqa: BLE001 - it is raised where the expert is needed
            future.set_exception(error)

    Thread(target=work, name="prefetch", daemon=True).start()
    return future


def _fetch(fill: Fill) -> WanTransformer3DModel:
    """Weights that are mapped in their own dtype are not read until they are used: one element of each page is."""
    model = fill(CPU)
    for parameter in model.parameters():
        if type(parameter) is not torch.nn.Parameter:
            continue  # quantised: made of what was read, or read block by block
        parameter.flatten()[:: _PAGE_BYTES // parameter.element_size()].sum()
    return model
