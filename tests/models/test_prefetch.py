"""The next expert is read during the last steps of the one before, where it has room; the result is the same."""

import threading
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.goldens import CPU
from tests.models.test_experts import ORDER, Library, plan, run
from wan import memory
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.machine import Machine
from wan.memory import GIB, refuse_prefetch
from wan.models.experts import NOWHERE, DroppedExperts, Fill, GroupedExperts, HeldOver, KeptExperts
from wan.models.prefetch import ExpertStores, PrefetchedExperts, Turn, turns_of
from wan.pipeline_checks import may_prefetch
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Expert, Stage
from wan.sampling.price import published_size

A14B = WAN_CONFIGS["t2v-A14B"]
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def expected() -> Tensor:
    return run(KeptExperts(Library().prepare, device=CPU))


def prefetched(prepare: Callable[[Expert], Fill], **how: object) -> PrefetchedExperts:
    return PrefetchedExperts(prepare, device=CPU, turns=turns_of(plan().stages), **how)


def test_the_next_expert_is_read_in_the_last_steps_by_another_thread(expected: Tensor) -> None:
    library = Library()
    assert torch.equal(run(prefetched(library.prepare)), expected)
    assert library.reads == ORDER
    assert library.threads == ["MainThread", "prefetch"]


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("read_seconds", "begins_after"), [(0.0, 18), (4.0, 12), (100.0, 1)])
def test_reading_begins_as_early_as_it_takes_and_no_earlier(read_seconds: float, begins_after: int) -> None:
    clock, begun, step = Clock(), threading.Event(), 0

    def prepare(expert: Expert) -> Fill:
        def fill(device: torch.device) -> torch.nn.Module:
            if expert is Expert.HIGH_NOISE:
                clock.now += read_seconds
            else:
                begun.set()
            return torch.nn.Linear(1, 1)

        return fill

    turns = [Turn(expert=Expert.HIGH_NOISE, steps=20), Turn(expert=Expert.LOW_NOISE, steps=20)]
    store = PrefetchedExperts(prepare, device=CPU, turns=turns, clock=clock)
    store.take(Expert.HIGH_NOISE)
    event: StepEvent = None  # type: ignore[assignment]
    for step in range(1, 21):
        clock.now += 1.0
        store.on_step_end(event)
        if begun.wait(0.0 if step < begins_after else 10.0):
            break
    assert step == begins_after


def test_an_expert_that_works_in_two_stages_in_a_row_has_one_turn() -> None:
    stages = plan().stages
    first, *others = stages
    assert len(first.steps) > 1
    parted = [replace(first, steps=first.steps[:1]), replace(first, steps=first.steps[1:]), *others]
    assert turns_of(parted) == turns_of(stages)
    assert [turn.expert for turn in turns_of(stages)] == ORDER


def test_an_error_while_reading_reaches_the_run() -> None:
    library = Library()

    def prepare(expert: Expert) -> Fill:
        if expert is Expert.HIGH_NOISE:
            return library.prepare(expert)

        def fill(device: torch.device) -> torch.nn.Module:
            raise OSError("the disk is gone")

        return fill

    with pytest.raises(OSError, match="the disk is gone"):
        run(prefetched(prepare))


def stores(*, may: bool) -> ExpertStores:
    return ExpertStores(Library().prepare, device=CPU, may_prefetch=lambda device: may)


def test_what_is_used_where() -> None:
    stages = plan().stages
    parted = [replace(stages[0], steps=stages[0].steps[:1]), replace(stages[0], steps=stages[0].steps[1:]), stages[1]]
    assert type(stores(may=False).of_run("expert", stages)) is DroppedExperts
    assert type(stores(may=True).of_run("expert", stages)) is PrefetchedExperts
    assert type(stores(may=True).of_run("expert", stages[1:])) is DroppedExperts  # no other expert follows
    assert type(stores(may=True).of_run("group", stages)) is GroupedExperts
    assert type(stores(may=True).of_run("none", stages)) is KeptExperts
    held = stores(may=True).of_run("expert", parted)
    assert type(held) is HeldOver and len(held.observers) == 1


def test_stages_of_one_expert_are_one_reading(expected: Tensor) -> None:
    class Watch(Observer):
        def on_stage_start(self, stage: Stage) -> None:
            models.append([model.device for model in taken])

    taken: list[torch.nn.Module] = []
    models: list[list[torch.device]] = []

    class Watched(PrefetchedExperts):
        def take(self, expert: Expert) -> torch.nn.Module:
            taken.append(super().take(expert))
            return taken[-1]

    store = Watched(Library().prepare, device=CPU, turns=turns_of(plan().stages))
    assert torch.equal(run(store, Watch()), expected)
    assert models == [[], [NOWHERE]]


@pytest.mark.parametrize(
    ("asked", "device", "free_gib", "may", "said"),
    [
        (None, GPU, 40, True, ""),
        (None, GPU, 20, False, "it takes 26.2 GiB of host memory, and 20.0 GiB may be used or are free"),
        (0, GPU, 40, False, ""),
        (30, GPU, 40, True, ""),
        (20, GPU, 40, False, "and 20.0 GiB may be used"),
        (None, CPU, 40, False, ""),
        (30, CPU, 40, True, ""),
    ],
)
def test_where_there_is_room(
    asked: float | None, device: torch.device, free_gib: float, may: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: free_gib * GIB)

    class Memory:
        available = 10**15

    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert may_prefetch(asked, published_size(A14B), torch.bfloat16, "none", device) is may
    assert [said in str(one.message) for one in caught] == ([True] if said else [])


@pytest.mark.parametrize(
    ("task", "machine", "sentence"),
    [
        ("t2v-A14B", {"prefetch_gib": -1.0}, "--prefetch_gib -1 must be 0 or more"),
        ("t2v-A14B", {"prefetch_gib": float("nan")}, "--prefetch_gib nan must be 0 or more"),
        ("t2v-A14B", {"prefetch_gib": 10.0}, "is less than the 26.2 GiB that the next expert takes; give at least 27"),
        ("t2v-A14B", {"prefetch_gib": 30.0, "offload": "none"}, "--offload none reads none during a run"),
        ("ti2v-5B", {"prefetch_gib": 30.0}, "this model has one expert"),
    ],
)
def test_a_limit_that_cannot_serve_is_refused(task: str, machine: dict[str, object], sentence: str) -> None:
    config = WAN_CONFIGS[task]
    with pytest.raises(InvalidInput, match=sentence):
        refuse_prefetch(config, published_size(config), Machine(**machine))


@pytest.mark.parametrize("asked", [None, 0.0, 27.0])
def test_a_limit_that_serves_is_not(asked: float | None) -> None:
    refuse_prefetch(A14B, published_size(A14B), Machine(prefetch_gib=asked))
