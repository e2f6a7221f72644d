"""Where experts are while they do not work: kept, dropped or spread in groups; the result is the same."""

import threading

import pytest
import torch
from torch import Tensor

from tests.goldens import CPU, denoiser, padded, tensors
from wan.models.denoiser import one_by_one
from wan.models.engine import EXACT
from wan.models.experts import (
    NOWHERE,
    DroppedExperts,
    ExpertPool,
    ExpertStore,
    Fill,
    GroupedExperts,
    HeldOver,
    KeptExperts,
)
from wan.models.fixed_inputs import SetUp, nothing_kept
from wan.sampling.completion import repeat
from wan.sampling.conditioning import TextOnly
from wan.sampling.geometry import Geometry
from wan.sampling.guidance import Branch
from wan.sampling.loop import begin, sample
from wan.sampling.observers import ForwardCounter, Observer, StepEvent
from wan.sampling.plan import Expert, Plan, Stage
from wan.sampling.policies import make_plan
from wan.sampling.solvers import make_solver
from wan.settings import SamplingSettings

NAMES = {Expert.HIGH_NOISE: "t2v-A14B_high", Expert.LOW_NOISE: "t2v-A14B_low"}
ORDER = [Expert.HIGH_NOISE, Expert.LOW_NOISE]


class Library:
    """Reads experts, and remembers when and in which thread it did."""

    def __init__(self) -> None:
        self.reads: list[Expert] = []
        self.threads: list[str] = []

    def prepare(self, expert: Expert) -> Fill:
        def fill(device: torch.device) -> torch.nn.Module:
            self.reads.append(expert)
            self.threads.append(threading.current_thread().name)
            source = denoiser(NAMES[expert])
            model = type(source).from_config(source.config)
            model.load_state_dict(source.state_dict())
            return model.to(device).eval().requires_grad_(False)

        return fill


def plan() -> Plan:
    settings = SamplingSettings(
        solver="unipc",
        steps=4,
        shift=12.0,
        boundary=0.875,
        low_noise_guidance_scale=3.0,
        high_noise_guidance_scale=4.0,
    )
    geometry = Geometry(
        pixel_frames=9, height=32, width=64, latent_channels=16, vae_stride=(4, 8, 8), patch_size=(1, 2, 2)
    )
    return make_plan(settings, geometry)


def run(store: ExpertStore, *observers: Observer, set_up: SetUp = EXACT.set_up) -> Tensor:
    golden, made = tensors("t2v_A14B_unipc"), plan()
    with torch.no_grad():
        return sample(
            made,
            begin(made, noise=golden["latent_in0"][None], solver=make_solver(made), latent_input=TextOnly()),
            contexts={
                Branch.COND: padded(golden["prompt_embeds"]),
                Branch.UNCOND: padded(golden["negative_embeds"]),
            },
            experts=ExpertPool(
                store, steps=len(made.steps), evaluate=one_by_one, count=ForwardCounter(), set_up=set_up
            ),
            latent_input=TextOnly(),
            completion=repeat,
            observers=[*observers, *store.observers],
        )


@pytest.fixture(scope="module")
def expected() -> Tensor:
    return run(KeptExperts(Library().prepare, device=CPU))


def test_kept_experts_are_read_once(expected: Tensor) -> None:
    library = Library()
    store = KeptExperts(library.prepare, device=CPU)
    assert torch.equal(run(store), expected) and torch.equal(run(store), expected)
    assert library.reads == ORDER
    store.clear()
    run(store)
    assert library.reads == ORDER * 2


def test_dropped_experts_free_their_weights(expected: Tensor) -> None:
    library, devices = Library(), []

    class Watch(Observer):
        def on_stage_start(self, stage: Stage) -> None:
            devices.append([model.device.type for model in models])

    models: list[torch.nn.Module] = []

    class Watched(DroppedExperts):
        def take(self, expert: Expert) -> torch.nn.Module:
            models.append(super().take(expert))
            return models[-1]

    assert torch.equal(run(Watched(library.prepare, device=CPU), Watch()), expected)
    assert devices == [[], [NOWHERE.type]]
    assert [model.device.type for model in models] == [NOWHERE.type] * 2


def test_grouped_experts_give_the_same(expected: Tensor) -> None:
    library = Library()
    made = run(GroupedExperts(library.prepare, device=CPU), set_up=EXACT.for_run("group").set_up)
    assert torch.allclose(made, expected, atol=1e-5)
    assert library.reads == ORDER
    # what is kept of the inputs changes no bit there either
    assert torch.equal(run(GroupedExperts(Library().prepare, device=CPU), set_up=nothing_kept), made)


def test_an_expert_that_works_in_two_stages_in_a_row_is_read_once() -> None:
    library = Library()
    order = [Expert.HIGH_NOISE, Expert.HIGH_NOISE, Expert.LOW_NOISE, Expert.LOW_NOISE]
    store, models = HeldOver(DroppedExperts(library.prepare, device=CPU), order=order), []
    for expert in order:
        models.append(store.take(expert))
        assert models[-1].device == CPU
        store.give_back(models[-1])
    assert library.reads == ORDER
    assert models[0] is models[1] and models[2] is models[3]
    assert [model.device for model in models] == [NOWHERE] * 4


def test_a_denoiser_lets_go_of_its_model_after_the_stage() -> None:
    kept: list[StepEvent] = []

    class Keep(Observer):
        def on_step_end(self, event: StepEvent) -> None:
            kept.append(event)

    run(KeptExperts(Library().prepare, device=CPU), Keep())
    assert not any(hasattr(event.denoiser, "_network") for event in kept)
