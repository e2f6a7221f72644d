"""The open experiments: policies that leave nothing out change nothing, windows are where they say, prices are true."""

from dataclasses import replace

import pytest
import torch

import measure_experiments
from experiments import partial, spectrum, windows
from experiments.bench import HELD_OUT, TRAINING, Bench, clips_for
from tests.tools.conftest import RunTool
from wan.demo_world.words import held_out_by_motion, held_out_combinations
from wan.job import prepare
from wan.models.block_cache import block_cache
from wan.request import Request
from wan.sampling.guidance import ClassifierFree, ReusedDelta
from wan.tune.clips import TuneClip


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Two short clips on ten steps, seven of them high-noise."""
    job = prepare(Request(task="t2v-demo", prompt="", frame_num=17, sample_steps=10))
    prompts = ("a red circle moving right on a blue background", "a green square standing still on a red background")
    return Bench([TuneClip(prompt=prompt, seed=seed) for seed, prompt in enumerate(prompts)], job)


@pytest.mark.parametrize("sees_all", [True, False])
def test_computing_all_tokens_is_the_plain_run(bench: Bench, sees_all: bool) -> None:
    def all_tokens(blocks: torch.nn.ModuleList) -> partial.ChangedTokens:
        return partial.ChangedTokens(blocks, share=1.0, sees_all=sees_all)

    made = bench.run(bench.plain, cache=block_cache(all_tokens))
    assert torch.allclose(made, bench.run(bench.plain), atol=1e-3)
    assert partial.pruned_cost(bench, 1.0, sees_all=sees_all) == pytest.approx(1.0)


def test_half_of_the_tokens_make_another_video_at_half_of_the_price(bench: Bench) -> None:
    costs = [partial.pruned_cost(bench, 0.5, sees_all=sees_all) for sees_all in (True, False)]
    assert costs[0] == pytest.approx((2 + 8 * 0.5) / 10) and costs[1] < costs[0]
    half = block_cache(lambda blocks: partial.ChangedTokens(blocks, share=0.5, sees_all=True))
    assert 5 < bench.score(bench.plain, cost=costs[0], cache=half).mean < 60


def test_anchors_alone_change_no_bit(bench: Bench) -> None:
    policy = partial.SecondFrames(anchors=[0, 2], halved=[])
    assert torch.equal(bench.run(bench.plain, wrap=policy.wrap, cache=policy.on), bench.run(bench.plain))
    assert partial.second_frames_cost(bench, anchors=0, halved=0) == 1.0


def test_windows_lie_in_one_stage_after_a_guided_step_of_it(bench: Bench) -> None:
    plain = bench.plain
    found = windows.all_windows(plain, (2,))
    assert {one.start for one in found} == {1, 2, 3, 4, 5, 8}
    for window in found:
        plan = window.plan(plain)
        changed = [step.index for step in plan.steps if isinstance(step.guidance, ReusedDelta)]
        assert changed == list(window.steps) and plan.forwards == plain.forwards - 2
        assert len({plan.steps[index].expert for index in (window.start - 1, *changed)}) == 1


def test_a_raised_scale_is_that_of_the_other_steps_of_the_expert(bench: Bench) -> None:
    plan = windows.Window(start=1, length=2, mode="reuse", factor=1.5).plan(bench.plain)
    scales = [step.guidance.scale for step in plan.steps if isinstance(step.guidance, ClassifierFree)]
    assert scales == [6.0] * 5 + [3.0] * 3


def test_the_estimate_is_exact_where_the_difference_does_not_change(bench: Bench) -> None:
    recording = windows._record(bench, lambda: None)
    growth = [1.0] * 11
    constant = torch.ones_like(recording.cond)
    sigmas = torch.tensor(recording.sigmas[:-1]).view(-1, 1, 1, 1, 1, 1)
    still = replace(recording, uncond=recording.cond + constant * sigmas)
    reuse, decay = (windows.Window(start=1, length=2, mode=mode) for mode in ("reuse", "decay"))
    assert windows.predicted(bench.plain, still, growth, reuse) > 80
    assert windows.predicted(bench.plain, still, growth, decay) < 60


def test_the_sweep_has_half_of_the_frames_where_it_says(bench: Bench) -> None:
    plans = dict(spectrum.sweep_plans(bench, 4))
    assert [step.latent_frames for step in plans["steps 3 to 6"].steps] == [5, 5, 3, 3, 3, 3, 5, 5, 5, 5]
    assert [step.latent_frames for step in plans["steps 1 to 2"].steps] == [3, 3, 5, 5, 5, 5, 5, 5, 5, 5]


def test_searched_and_reported_clips_share_no_prompt() -> None:
    searched, reported = clips_for(TRAINING, 18), clips_for(HELD_OUT, 36)
    assert len({(clip.prompt, clip.seed) for clip in reported}) == 36
    assert [clip.prompt for clip in reported[:9]] == [one.caption() for one in held_out_by_motion(1)]
    assert not {clip.prompt for clip in searched} & {clip.prompt for clip in reported}
    assert {clip.prompt for clip in reported} <= {one.caption() for one in held_out_combinations()}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--clips", "0"], "--clips 0 must be from 1 to 36"),
        (["--report_clips", "99"], "--report_clips 99 must be from 1 to 36"),
        (["--window", "0"], "--window 0 must be at least 1"),
        (["--threads", "0"], "--threads 0 must be at least 1"),
        (["--tolerance", "1"], "--tolerance 1 must be between 0 and 1"),
    ],
)
def test_refusals(tool: RunTool, flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool(measure_experiments, ["--experiment", "spectrum", *flags]) == 2
    assert sentence in capsys.readouterr().err
