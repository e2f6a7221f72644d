"""What an evaluation is worth: the bands make up the whole, and blocks that are left out add what they added before."""

from pathlib import Path

import pytest
import torch

from claims.sample import demo_job
from measure_evaluations import CASES, Bench, _bands
from wan.session import Session
from wan.tune.clips import demo_clips
from wan.tune.lockstep import ClipBatch
from wan.tune.recording import record


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    job = demo_job()
    batch = ClipBatch.of(Session(job, show_progress=False), demo_clips(1, draw=1), job.plan, at_once=1)
    folder: Path = tmp_path_factory.mktemp("recording")
    return Bench(batch, job.plan, record(batch, job.plan, folder / "clips.safetensors", tick=lambda: None))


def test_the_bands_are_parts_of_the_whole() -> None:
    latents = torch.randn(2, 3, 13, 8, 8, generator=torch.Generator().manual_seed(0))
    parts = list(_bands(latents))
    assert len(parts) == 9 and torch.allclose(torch.stack(parts).sum(0), latents, atol=1e-5)


def test_evaluating_a_recorded_state_gives_the_recorded_estimates(bench: Bench) -> None:
    state = bench.recording.states[7]
    found = bench.evaluated(7, state)
    wanted = (bench.recording.cond[7], bench.recording.uncond[7])
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(found.values(), wanted, strict=True))


def test_all_blocks_are_the_whole_evaluation_and_half_of_them_are_not(bench: Bench) -> None:
    state = bench.recording.states[7]
    whole = bench.evaluated(7, state)
    every = bench.evaluated_in_part(7, state, at=5, computed=range(bench.blocks))
    half = bench.evaluated_in_part(7, state, at=5, computed=range(bench.blocks // 2))
    assert every is not None and half is not None
    for branch, estimate in whole.items():
        assert torch.equal(every[branch], estimate) and not torch.allclose(half[branch], estimate, atol=1e-3)


def test_the_other_experts_blocks_have_nothing_to_add(bench: Bench) -> None:
    assert bench.evaluated_in_part(14, bench.recording.states[14], at=10, computed=range(3)) is None


def test_one_evaluation_more_comes_nearer(bench: Bench) -> None:
    known, extra, wanted = CASES[0]
    base, target = bench.known(known), bench.recording.states[wanted]
    whole = bench.evaluated(extra, bench.combined(base, bench.recording.states[extra]))
    assert bench.reached([*base, *whole.values()], target) > bench.reached(base, target) + 3
