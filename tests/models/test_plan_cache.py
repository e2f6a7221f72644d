"""The caches that --cache names, on the demo model: exact when nothing is skipped, one decision a step, no trace."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import TaylorSeerCacheConfig, WanTransformer3DModel
from torch import Tensor, nn

from wan import WanT2V
from wan.analysis.debug import scales_of
from wan.analysis.probe import GuidanceProbe
from wan.configs import WAN_CONFIGS
from wan.job import Job, prepare, vary
from wan.machine import Machine
from wan.models.block_cache import FirstBlockDecides, PlannedResiduals, block_cache
from wan.models.network_cache import DiffusersCache
from wan.request import Request
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer
from wan.sampling.plan import Plan
from wan.sampling.price import price
from wan.session import Sampled, Session
from wan.shortcuts import Shortcuts

PROMPT = "a green square moving left on a white background"
HALF = {"frame_completion": "interpolate", "frame_positions": "spread"}
TRUNCATED = {"cfg_truncate_steps": 2, "cfg_truncate_high_noise_steps": 2}
# strong enough to skip something in a run of ten steps
STRONG: dict[str, dict[str, Any]] = {
    "sea": {"cache_threshold": 2.0},
    "mag": {"cache_threshold": 0.3, "cache_retention": 0.1},
    "first_block": {"cache_threshold": 0.8},
    "taylor": {"cache_order": 2},
}
OFF: dict[str, dict[str, Any]] = {
    "sea": {"cache_threshold": 0.0},
    "mag": {"cache_threshold": 0.0},
    "first_block": {"cache_threshold": 0.0},
    "taylor": {"cache_interval": 1},
}


def job_with(**shortcuts: Any) -> Job:
    machine = Machine(offload="none")
    request = Request(task="t2v-demo", prompt=PROMPT, sample_steps=10, frame_num=9, machine=machine)
    return prepare(replace(request, shortcuts=Shortcuts(**shortcuts)))


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(job_with(), show_progress=False)


@pytest.fixture(scope="module")
def batched_session() -> Session:
    job = job_with()
    return Session(vary(job, machine=replace(job.request.machine, batch_cfg=True)), show_progress=False)


@pytest.fixture(scope="module")
def plain(session: Session) -> Sampled:
    return sample(session, job_with().plan)


def sample(session: Session, plan: Plan, **more: Any) -> Sampled:
    return session.sample(plan, prompt=PROMPT, seed=3, **more)


def models(session: Session) -> list[WanTransformer3DModel]:
    return list(session.pipeline._experts._kept._models.values())


@pytest.mark.parametrize("cache", OFF)
def test_a_cache_that_skips_nothing_is_bit_equal_to_no_cache(session: Session, plain: Sampled, cache: str) -> None:
    made = sample(session, job_with(cache=cache, **OFF[cache]).plan)
    assert torch.equal(made.latents, plain.latents)
    assert made.forwards == plain.forwards and made.flops == pytest.approx(plain.flops, rel=1e-12)


@pytest.mark.parametrize("cache", STRONG)
@pytest.mark.parametrize("others", [{}, TRUNCATED | HALF], ids=["alone", "cfg+half"])
def test_a_cache_saves_what_is_counted_and_leaves_nothing_behind(
    session: Session, plain: Sampled, cache: str, others: dict[str, Any]
) -> None:
    plan, without = job_with(cache=cache, **STRONG[cache], **others).plan, job_with(**others).plan
    made = sample(session, plan)
    assert torch.isfinite(made.latents).all()
    size = session.checkpoint.denoiser_size
    assert made.forwards < without.forwards and made.flops < price(without, size).planned.flops
    if plan.cache is not None and plan.cache.is_planned:
        assert made.forwards == plan.forwards
        assert made.flops == pytest.approx(price(plan, size).planned.flops, rel=1e-12)
    for model in models(session):
        assert len(model.blocks) == size.num_layers and not model.is_cache_enabled
        assert all("forward" not in module.__dict__ and not module._forward_hooks for module in model.modules())
    # empty state: the same run again, and the plain run after it, are what they were
    assert torch.equal(sample(session, plan).latents, made.latents)
    assert torch.equal(sample(session, job_with().plan).latents, plain.latents)


@pytest.mark.parametrize("cache", STRONG)
def test_both_branches_of_a_step_are_skipped_together(session: Session, cache: str) -> None:
    plan = job_with(cache=cache, **STRONG[cache]).plan
    counts = session.pipeline.forward_counter.counts
    totals: list[int] = []

    class Count(Observer):
        def on_step_end(self, event: object) -> None:
            totals.append(counts.total())

    start = counts.total()
    sample(session, plan, observers=[Count()])
    ran = [after - before for before, after in zip([start, *totals], totals, strict=False)]
    assert set(ran) == {0, 2}


@pytest.mark.parametrize("cache", STRONG)
@pytest.mark.parametrize("others", [{}, TRUNCATED])
def test_a_debug_run_changes_no_number(session: Session, cache: str, others: dict[str, Any]) -> None:
    job = job_with(cache=cache, **STRONG[cache], **others)
    probe = GuidanceProbe(scales_of(job.settings))
    alone, watched = sample(session, job.plan), sample(session, job.plan, observers=[probe])
    assert torch.equal(alone.latents, watched.latents) and alone.flops == watched.flops
    assert watched.forwards - probe.shadow.total() == alone.forwards


@pytest.mark.parametrize("cache", STRONG)
@pytest.mark.parametrize("others", [{}, TRUNCATED], ids=["alone", "cfg"])
def test_batched_guidance_makes_the_same_decisions(
    session: Session, batched_session: Session, cache: str, others: dict[str, Any]
) -> None:
    plan = job_with(cache=cache, **STRONG[cache], **others).plan
    single, both = sample(session, plan), sample(batched_session, plan)
    if not (cache == "sea" and others):  # its state belongs to a batch, and a truncated step is another one
        assert both.forwards == single.forwards
        assert torch.allclose(both.latents, single.latents, atol=1e-4)
    assert torch.isfinite(both.latents).all() and both.forwards < 20


def test_the_first_block_cache_runs_one_block_of_a_skipped_step(session: Session) -> None:
    plan = job_with(cache="first_block", cache_threshold=0.8).plan
    made, size = sample(session, plan), session.checkpoint.denoiser_size
    full = size.forward_flops(plan.geometry.tokens(3))
    skipped = plan.forwards - made.forwards
    assert made.flops == pytest.approx(full * (made.forwards + skipped / size.num_layers), rel=1e-12)


class Decisions(FirstBlockDecides):
    """Remembers by which branch every decision was made."""

    log: dict[int, list[str]]

    def _changed_little(self, added: Any, leader: Any) -> bool:
        self.log[self._now[0].index].append(leader.value)  # type: ignore[index]
        return super()._changed_little(added, leader)


def test_the_conditional_branch_decides_once_a_step(session: Session) -> None:
    Decisions.log = defaultdict(list)
    sample(session, job_with().plan, cache=block_cache(lambda blocks: Decisions(blocks, threshold=0.8)))
    # nothing is kept when a stage begins, so its first step is computed unasked
    firsts = {stage.steps[0].index for stage in job_with().plan.stages}
    assert set(Decisions.log) == set(range(10)) - firsts
    assert all(leaders == ["cond"] for leaders in Decisions.log.values())


class Adds(nn.Module):
    """A block that adds its first condition."""

    def forward(self, hidden_states: Tensor, amount: Tensor) -> Tensor:
        return hidden_states + amount


def test_mag_adds_the_residual_that_each_branch_had_last() -> None:
    computed, skipped = (
        replace(job_with().plan.steps[0], cached=cached) for cached in (frozenset(), frozenset(Branch))
    )
    blocks = PlannedResiduals(nn.ModuleList([Adds(), Adds()]))
    two = (Branch.UNCOND, Branch.COND)
    with blocks.at(computed, two):
        blocks(torch.zeros(2, 3, 1), torch.tensor([1.0, 5.0]).view(2, 1, 1))
    with torch.no_grad(), blocks.at(skipped, (Branch.COND,)):
        assert torch.equal(blocks(torch.ones(1, 3, 1), torch.tensor(99.0)), torch.full((1, 3, 1), 11.0))
    with blocks.at(skipped, two):
        made = blocks(torch.ones(2, 3, 1), torch.tensor(99.0))
    assert made[:, 0, 0].tolist() == [3.0, 11.0]
    # an instrument's forward computes, and is not remembered
    assert blocks(torch.zeros(1, 3, 1), torch.tensor(7.0))[0, 0, 0] == 14.0
    with blocks.at(skipped, (Branch.UNCOND,)):
        assert blocks(torch.zeros(1, 3, 1), torch.tensor(99.0))[0, 0, 0] == 2.0


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_velocity_forecast_is_taylorseer_of_diffusers_in_lite_mode(session: Session, order: int) -> None:
    def config(stage: Any, clock: Any) -> TaylorSeerCacheConfig:
        return TaylorSeerCacheConfig(
            cache_interval=2,
            disable_cache_before_step=3,
            max_order=order,
            taylor_factors_dtype=torch.float32,
            use_lite_mode=True,
        )

    ours = sample(session, job_with(cache="taylor", cache_order=order).plan)
    theirs = sample(session, job_with().plan, cache=DiffusersCache(config))
    assert ours.forwards == theirs.forwards < 20
    assert torch.allclose(ours.latents, theirs.latents, atol=2e-4)


def test_a_returning_branch_starts_seacache_anew(session: Session) -> None:
    job = job_with(cache="sea", cache_threshold=1e6)
    single = job_with(cfg_truncate_steps=10, cfg_truncate_high_noise_steps=10, cfg_truncate_mode="cond").plan.steps
    # the conditional pass alone at one step in the middle of the high-noise stage
    steps = tuple(single[2] if step.index == 2 else step for step in job.plan.steps)
    ran: list[int] = []
    counter = session.pipeline.forward_counter

    class Count(Observer):
        def on_step_end(self, event: object) -> None:
            ran.append(counter.total)

    start = counter.total
    sample(session, replace(job.plan, steps=steps), observers=[Count()])
    per_step = [after - before for before, after in zip([start, *ran], ran, strict=False)]
    # 0 computed, 1 and 2 skipped, 3 anew for both branches
    assert per_step[:5] == [2, 0, 0, 2, 0]


def test_generate_takes_the_keyword_arguments() -> None:
    pipeline = WanT2V(WAN_CONFIGS["t2v-demo"], device="cpu")
    shape: dict[str, Any] = {"size": (64, 64), "frame_num": 9, "sampling_steps": 10, "shift": 12.0}
    pipeline.generate(PROMPT, seed=3, guide_scale=(3.0, 4.0), cache="taylor", cache_interval=3, **shape)
    plan = job_with(cache="taylor", cache_interval=3).plan
    assert pipeline.forward_counter.total == plan.forwards < 20
