"""The cache seam on the demo model: planned forwards are executed, stages begin empty, instruments change nothing."""

from dataclasses import replace

import pytest
import torch

from wan.analysis.debug import scales_of
from wan.analysis.probe import GuidanceProbe
from wan.job import Job, prepare
from wan.models.cache import CachedDenoiser
from wan.request import Request
from wan.sampling.guidance import Branch
from wan.sampling.plan import Expert, Plan, Step
from wan.sampling.price import forwards_by, price
from wan.sampling.protocols import Denoiser
from wan.session import Sampled, Session
from wan.shortcuts import Shortcuts

PROMPT = "a green square moving left on a white background"
BOTH = frozenset(Branch)


@pytest.fixture(scope="module")
def job() -> Job:
    return prepare(Request(task="t2v-demo", prompt=PROMPT, sample_steps=8, frame_num=9))


@pytest.fixture(scope="module")
def session(job: Job) -> Session:
    return Session(job, show_progress=False)


def cached(plan: Plan, indices: set[int], branches: frozenset[Branch] = BOTH) -> Plan:
    """The plan with the branches of some steps left to a cache."""
    steps = tuple(replace(step, cached=branches) if step.index in indices else step for step in plan.steps)
    return replace(plan, steps=steps)


def sample(session: Session, plan: Plan, **more: object) -> Sampled:
    return session.sample(plan, prompt=PROMPT, seed=3, wrap=CachedDenoiser, **more)  # type: ignore[arg-type]


def test_a_cache_that_the_plan_does_not_use_changes_nothing(session: Session, job: Job) -> None:
    plain = session.sample(job.plan, prompt=PROMPT, seed=3)
    assert torch.equal(sample(session, job.plan).latents, plain.latents)


def test_planned_forwards_are_executed(session: Session, job: Job) -> None:
    plan = cached(job.plan, {1, 3, 7})
    made = sample(session, plan)
    assert plan.forwards == made.forwards == 2 * (8 - 3)
    assert sum(forwards_by(plan).values()) == 10
    tag = price(plan, session.checkpoint.denoiser_size)
    assert tag.planned.token_forwards == made.token_forwards and tag.fractions()["flops"] == pytest.approx(10 / 16)
    assert not torch.equal(made.latents, session.sample(job.plan, prompt=PROMPT, seed=3).latents)


def test_one_branch_can_be_cached_alone(session: Session, job: Job) -> None:
    plan = cached(job.plan, {2, 4}, frozenset({Branch.UNCOND}))
    made = sample(session, plan)
    assert plan.forwards == made.forwards == 14


@pytest.mark.parametrize("shortcuts", [Shortcuts(), Shortcuts(cfg_truncate_steps=1, cfg_truncate_high_noise_steps=2)])
def test_the_debug_probe_does_not_disturb_a_cache(session: Session, job: Job, shortcuts: Shortcuts) -> None:
    planned = prepare(replace(job.request, shortcuts=shortcuts)).plan
    # in the middle of a stage, where what the probe asked for would be kept and returned two steps later
    plan = cached(planned, {1, 3, 4})
    probe = GuidanceProbe(scales_of(job.settings))
    alone, watched = sample(session, plan), sample(session, plan, observers=[probe])
    assert torch.equal(alone.latents, watched.latents)
    assert watched.forwards - probe.shadow.total() == plan.forwards
    assert probe.shadow.total() == 2 * 8 - plan.forwards


def test_the_probe_measures_the_true_difference_where_a_cache_answered(session: Session, job: Job) -> None:
    probe = GuidanceProbe(scales_of(job.settings))
    sample(session, cached(job.plan, {1}), observers=[probe])
    assert probe.steps[1].used_error > 0.0  # the held velocity is not the guided one


class Watched(CachedDenoiser):
    """Remembers what each wrapper was made for and what it held when its stage began."""

    made: list["Watched"]

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__(denoiser)
        self.seen: list[tuple[int, Expert, Branch]] = []
        self.made.append(self)
        assert not self._kept

    def keep(self, step: Step, branch: Branch, velocity: torch.Tensor) -> None:
        super().keep(step, branch, velocity)
        self.seen.append((step.index, step.expert, branch))


def test_a_wrapper_knows_step_and_branch_and_lives_for_one_stage(session: Session, job: Job) -> None:
    Watched.made = []
    session.sample(cached(job.plan, {1}), prompt=PROMPT, seed=3, wrap=Watched)
    high, low = Watched.made
    assert {expert for _, expert, _ in high.seen} == {Expert.HIGH_NOISE}
    assert {expert for _, expert, _ in low.seen} == {Expert.LOW_NOISE}
    assert [index for index, _, branch in high.seen if branch is Branch.COND][:2] == [0, 2]
    assert len(high.seen) + len(low.seen) == 14


def test_the_first_step_of_a_stage_cannot_be_cached(session: Session, job: Job) -> None:
    first = next(step.index for step in job.plan.steps if step.expert is Expert.LOW_NOISE)
    with pytest.raises(AssertionError, match="which its stage never computed"):
        sample(session, cached(job.plan, {first}))
