"""Caches on a network: put on for a stage, taken off without a trace, and what they leave out is not counted."""

from dataclasses import replace

import pytest
import torch
from diffusers import (
    FasterCacheConfig,
    FirstBlockCacheConfig,
    MagCacheConfig,
    PyramidAttentionBroadcastConfig,
    TaylorSeerCacheConfig,
)
from diffusers.hooks import SeaCacheConfig

from wan.analysis.debug import scales_of
from wan.analysis.probe import GuidanceProbe
from wan.job import Job, prepare
from wan.machine import Machine
from wan.models.engine import EXACT, Engine
from wan.models.fixed_inputs import nothing_kept
from wan.models.network_cache import Clock, ConfigFor, DiffusersCache
from wan.request import Request
from wan.sampling.guidance import Branch
from wan.sampling.plan import Stage
from wan.sampling.price import price
from wan.session import Sampled, Session
from wan.shortcuts import Shortcuts

PROMPT = "a green square moving left on a white background"
CONFIGS: dict[str, ConfigFor] = {
    "sea": lambda stage, clock: SeaCacheConfig(threshold=0.5),
    "first_block": lambda stage, clock: FirstBlockCacheConfig(threshold=0.3),
    "taylor": lambda stage, clock: TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=1, use_lite_mode=True, taylor_factors_dtype=torch.float32
    ),
    "taylor_parts": lambda stage, clock: TaylorSeerCacheConfig(
        cache_interval=2,
        disable_cache_before_step=1,
        cache_identifiers=[r"blocks\.\d+\.(attn1|attn2|ffn)"],
        taylor_factors_dtype=torch.float32,
    ),
    "mag": lambda stage, clock: MagCacheConfig(
        threshold=0.2, mag_ratios=[0.99] * len(stage.steps), num_inference_steps=len(stage.steps)
    ),
    "pab": lambda stage, clock: PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(0, 1001),
        spatial_attention_block_identifiers=("blocks",),
        current_timestep_callback=lambda: clock.timestep,
    ),
}


@pytest.fixture(scope="module")
def job() -> Job:
    machine = Machine(offload="none")
    return prepare(Request(task="t2v-demo", prompt=PROMPT, sample_steps=8, frame_num=9, machine=machine))


@pytest.fixture(scope="module")
def session(job: Job) -> Session:
    return Session(job, show_progress=False)


@pytest.fixture(scope="module")
def batched_session(job: Job) -> Session:
    request = replace(job.request, machine=replace(job.request.machine, batch_cfg=True))
    return Session(prepare(request), show_progress=False)


def sample(session: Session, job: Job, config_for: ConfigFor | None = None, **more: object) -> Sampled:
    if config_for is not None:
        more["cache"] = DiffusersCache(config_for)
    return session.sample(job.plan, prompt=PROMPT, seed=3, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(session: Session, job: Job) -> Sampled:
    return sample(session, job)


def test_without_a_cache_the_flops_are_the_planned_ones(session: Session, job: Job, plain: Sampled) -> None:
    assert plain.flops == pytest.approx(price(job.plan, session.checkpoint.denoiser_size).planned.flops, rel=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_diffusers_cache_leaves_something_out_and_nothing_behind(
    session: Session, job: Job, plain: Sampled, name: str
) -> None:
    made = sample(session, job, CONFIGS[name])
    assert made.flops < plain.flops and not torch.equal(made.latents, plain.latents)
    # these leave out attention alone, so every forward still reaches the end of the last block
    assert (made.forwards == plain.forwards) == (name == "pab")
    for model in session.pipeline._experts._kept._models.values():
        assert all("forward" not in module.__dict__ for module in model.modules())
        assert all(not module._forward_hooks for module in model.modules())
        assert not model.is_cache_enabled
    assert torch.equal(sample(session, job).latents, plain.latents)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_cache_twice_gives_the_same_numbers(session: Session, job: Job, name: str) -> None:
    assert torch.equal(sample(session, job, CONFIGS[name]).latents, sample(session, job, CONFIGS[name]).latents)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_instrument_beside_the_run_changes_no_number(session: Session, job: Job, name: str) -> None:
    request = replace(job.request, shortcuts=replace(job.request.shortcuts, cfg_truncate_steps=2))
    truncated = prepare(request)
    probe = GuidanceProbe(scales_of(truncated.settings))
    alone = sample(session, truncated, CONFIGS[name])
    watched = sample(session, truncated, CONFIGS[name], observers=[probe])
    assert probe.shadow.total() == 2
    assert torch.equal(alone.latents, watched.latents)
    assert watched.flops == alone.flops and watched.forwards == alone.forwards + 2


def test_faster_cache_leaves_out_the_unconditional_half_of_a_batch(batched_session: Session, job: Job) -> None:
    def config(stage: Stage, clock: Clock) -> FasterCacheConfig:
        return FasterCacheConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(-1, 1001),
            unconditional_batch_skip_range=2,
            unconditional_batch_timestep_skip_range=(-1, 1001),
            spatial_attention_block_identifiers=("blocks",),
            attention_weight_callback=lambda module: 0.5,
            tensor_format="BCFHW",
            current_timestep_callback=lambda: clock.timestep,
        )

    counts = batched_session.pipeline.forward_counter.counts
    before = counts.copy()
    made = sample(batched_session, job, config)
    ran = counts - before
    assert made.forwards < job.plan.forwards
    cond = sum(count for name, count in ran.items() if name.endswith(f".{Branch.COND.value}"))
    assert cond == len(job.plan.steps) > made.forwards - cond


def test_a_configuration_that_fails_leaves_nothing_behind(session: Session, job: Job, plain: Sampled) -> None:
    with pytest.raises(ValueError, match="not supported"):
        sample(session, job, lambda stage, clock: object())
    assert torch.equal(sample(session, job).latents, plain.latents)


def test_every_stage_has_a_configuration_of_its_own_and_the_clock_tells_the_step(session: Session, job: Job) -> None:
    stages: list[Stage] = []
    clocks: list[Clock] = []

    def config(stage: Stage, clock: Clock) -> FirstBlockCacheConfig:
        stages.append(stage)
        clocks.append(clock)
        return FirstBlockCacheConfig(threshold=0.0)

    made = sample(session, job, config)
    assert tuple(stages) == job.plan.stages
    assert [clock.step for clock in clocks] == [stage.steps[-1] for stage in job.plan.stages]
    assert made.forwards == job.plan.forwards


@pytest.mark.parametrize("name", ["sea", "mag", "first_block", "taylor"])
def test_what_is_kept_of_the_inputs_changes_no_bit_and_no_count_under_a_cache(name: str) -> None:
    job = prepare(Request(task="t2v-demo", sample_steps=12, frame_num=9, shortcuts=Shortcuts(cache=name)))
    pipeline = Session(job, show_progress=False).pipeline
    contexts, counter = pipeline.encode("a red circle moving right"), pipeline.forward_counter
    made = []
    for engine in (Engine(keep=nothing_kept), EXACT):
        before = counter.total, counter.flops
        latents = pipeline.sample(job.plan, contexts, seed=0, engine=engine)
        made.append((latents, counter.total - before[0], counter.flops - before[1]))
    (plain, *counted), (kept, *counted_kept) = made
    assert torch.equal(kept, plain) and counted_kept == pytest.approx(counted)
