"""The loop on the tiny official denoisers: parity, counted forwards, neutrality of everything that must not matter."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from tests.goldens import TOLERANCE, denoiser, padded, tensors
from wan.errors import NumericalError
from wan.models.denoiser import Evaluate, batched, one_by_one
from wan.models.experts import ExpertPool, KeptExperts
from wan.sampling.completion import COMPLETIONS, completion_for
from wan.sampling.conditioning import TextOnly
from wan.sampling.geometry import Geometry
from wan.sampling.guidance import TRUNCATION_MODES, Branch
from wan.sampling.loop import begin, sample
from wan.sampling.observers import ForwardCounter, NaNGuard, Observer, ProgressBar, StepEvent, StepTimer
from wan.sampling.plan import Expert, Plan
from wan.sampling.policies import make_plan
from wan.sampling.solvers import make_solver
from wan.settings import SamplingSettings
from wan.shortcuts import DEFAULT_TRUNCATION_MODE

CPU = torch.device("cpu")
SETTINGS = SamplingSettings(
    solver="unipc",
    steps=6,
    shift=12.0,
    boundary=0.875,
    low_noise_guidance_scale=3.0,
    high_noise_guidance_scale=4.0,
)
GEOMETRY = Geometry(pixel_frames=9, height=32, width=64, latent_channels=16, vae_stride=(4, 8, 8), patch_size=(1, 2, 2))
MODELS = {Expert.HIGH_NOISE: "t2v-A14B_high", Expert.LOW_NOISE: "t2v-A14B_low"}


def run(
    plan: Plan,
    *,
    observers: tuple[Observer, ...] = (),
    counter: ForwardCounter | None = None,
    evaluate: Evaluate = one_by_one,
) -> Tensor:
    golden = tensors("t2v_A14B_unipc")
    pool = ExpertPool(
        KeptExperts(lambda expert: lambda device: denoiser(MODELS[expert]), device=CPU),
        evaluate=evaluate,
        steps=len(plan.steps),
        count=counter or ForwardCounter(),
    )
    contexts = {Branch.COND: padded(golden["prompt_embeds"]), Branch.UNCOND: padded(golden["negative_embeds"])}
    frames = plan.geometry.latent_frames
    noise = golden["latent_in0"][None]
    if frames != noise.shape[2]:
        noise = torch.randn(1, *plan.geometry.latent_shape(), generator=torch.Generator().manual_seed(42))
    with torch.no_grad():
        return sample(
            plan,
            begin(plan, noise=noise, solver=make_solver(plan), latent_input=TextOnly()),
            contexts=contexts,
            experts=pool,
            latent_input=TextOnly(),
            completion=completion_for(plan.frame_completion),
            observers=observers,
        )


class Recorder(Observer):
    """Every step's velocity and result."""

    def __init__(self) -> None:
        self.velocities: list[Tensor] = []
        self.latents: list[Tensor] = []

    def on_step_end(self, event: StepEvent) -> None:
        self.velocities.append(event.velocity[0])
        self.latents.append(event.latents_out[0])


def test_every_step_equals_the_official_run() -> None:
    golden, recorder = tensors("t2v_A14B_unipc"), Recorder()
    final = run(make_plan(SETTINGS, GEOMETRY), observers=(recorder,))
    assert torch.allclose(torch.stack(recorder.velocities), golden["noise_pred"], atol=TOLERANCE)
    assert torch.allclose(torch.stack(recorder.latents), golden["latent_out"], atol=TOLERANCE)
    assert torch.allclose(final[0], golden["final_latent"], atol=TOLERANCE)


def test_batched_passes_equal_single_ones() -> None:
    plan = make_plan(SETTINGS, GEOMETRY)
    assert torch.allclose(run(plan), run(plan, evaluate=batched), atol=1e-5)


@pytest.mark.parametrize("evaluate", [one_by_one, batched])
@pytest.mark.parametrize(
    ("solver", "mode", "completion"),
    list(product(["unipc", "dpm++", "euler"], [None, *TRUNCATION_MODES], [None, *COMPLETIONS])),
)
def test_planned_forwards_are_the_counted_ones(
    solver: str, mode: str | None, completion: str | None, evaluate: Evaluate
) -> None:
    count = 2 if mode else 0
    settings = replace(
        SETTINGS,
        solver=solver,
        steps=10,
        cfg_truncate_steps=count,
        cfg_truncate_high_noise_steps=count,
        cfg_truncate_mode=mode or DEFAULT_TRUNCATION_MODE,
        frame_completion=completion,
        half_frame_start=2 if completion == "follow" else 0,
    )
    plan, counter = make_plan(settings, GEOMETRY), ForwardCounter()
    latents = run(plan, counter=counter, evaluate=evaluate)
    assert counter.total == plan.forwards == 20 - 2 * count
    tokens = sum(plan.geometry.tokens(step.latent_frames) * len(step.branches) for step in plan.steps)
    assert counter.token_forwards == tokens
    assert latents.shape == (1, *GEOMETRY.latent_shape())
    assert torch.isfinite(latents).all()


def test_the_skipped_branch_never_reaches_the_model() -> None:
    settings = replace(SETTINGS, cfg_truncate_steps=2, cfg_truncate_high_noise_steps=4, cfg_truncate_mode="uncond")
    counter = ForwardCounter()
    run(make_plan(settings, GEOMETRY), counter=counter)
    assert dict(counter.counts) == {"high_noise.uncond": 4, "low_noise.uncond": 2}


def test_observers_change_nothing() -> None:
    plan = make_plan(replace(SETTINGS, frame_completion="improved", cfg_truncate_steps=1), GEOMETRY)
    with ProgressBar(plan) as bar:
        observed = run(plan, observers=(bar, NaNGuard(), StepTimer(device=CPU), Recorder()))
    assert torch.equal(observed, run(plan))


def test_a_run_repeats_bit_for_bit() -> None:
    plan = make_plan(SETTINGS, GEOMETRY)
    assert torch.equal(run(plan), run(plan))


def test_truncation_of_zero_steps_is_the_plain_run() -> None:
    plain = run(make_plan(SETTINGS, GEOMETRY))
    for mode in TRUNCATION_MODES:
        assert torch.equal(run(make_plan(replace(SETTINGS, cfg_truncate_mode=mode), GEOMETRY)), plain)


@pytest.mark.parametrize("steps", [1, 2, 92])
def test_awkward_step_counts(steps: int) -> None:
    assert torch.isfinite(run(make_plan(replace(SETTINGS, steps=steps), GEOMETRY))).all()


@pytest.mark.parametrize("pixel_frames", [5, 9, 13, 17])
@pytest.mark.parametrize("completion", ["repeat", "improved"])
def test_half_frame_runs_at_odd_and_even_counts(pixel_frames: int, completion: str) -> None:
    geometry = replace(GEOMETRY, pixel_frames=pixel_frames)
    latents = run(make_plan(replace(SETTINGS, frame_completion=completion), geometry))
    assert latents.shape == (1, *geometry.latent_shape())


def test_half_frame_starts_from_the_baselines_noise() -> None:
    recorder = Recorder()
    plan = make_plan(replace(SETTINGS, frame_completion="repeat"), GEOMETRY)
    first: list[Tensor] = []

    class First(Observer):
        def on_step_end(self, event: StepEvent) -> None:
            first.append(event.latents_in)

    run(plan, observers=(First(), recorder))
    assert torch.equal(first[0], tensors("t2v_A14B_unipc")["latent_in0"][None][:, :, [0, 2]])


def test_step_timer_counts_steps_and_switches() -> None:
    ticks = iter(range(100))
    timer = StepTimer(device=CPU, clock=lambda: float(next(ticks)))
    run(make_plan(SETTINGS, GEOMETRY), observers=(timer,))
    assert timer.step_seconds == [1.0] * 6
    assert timer.switch_seconds == [1.0, 1.0]


def test_nan_guard_names_step_and_expert() -> None:
    class Poison(Observer):
        def on_step_end(self, event: StepEvent) -> None:
            if event.step.index == 4:
                event.latents_out[0, 0, 0, 0, 0] = float("nan")

    with pytest.raises(NumericalError, match=r"step 5 \(low_noise expert, sigma 0\.\d+\)"):
        run(make_plan(SETTINGS, GEOMETRY), observers=(Poison(), NaNGuard()))
