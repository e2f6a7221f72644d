"""The benchmark's parts: random weights, the price model, kinds of steps, extrapolation, turns."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from wan.configs import WAN_CONFIGS, TaskConfig
from wan.errors import InvalidInput
from wan.instruments.bench.random_model import RandomModel, empty_denoiser, random_experts
from wan.instruments.bench.step_kinds import StepKind, extrapolated_seconds, kinds_of, plan_of_kind
from wan.instruments.bench.timing import Timed, time_in_turns
from wan.instruments.bench.variants import PLAIN, Setting, asked_variants, engine_variants, shortcut_variants
from wan.job import prepare
from wan.models.denoiser import batched, one_by_one
from wan.request import Request
from wan.sampling.geometry import geometry_for
from wan.sampling.guidance import Branch, SingleBranch
from wan.sampling.plan import Expert
from wan.sampling.price import DenoiserSize
from wan.settings import default_settings

CPU = torch.device("cpu")


def narrow(task: str) -> TaskConfig:
    """The task with its channels, strides and experts, and a denoiser of next to no size."""
    return replace(WAN_CONFIGS[task], dim=24, num_heads=1, ffn_dim=48, num_layers=1, text_dim=16, text_len=8)


def small_case(config: TaskConfig) -> Setting:
    settings = replace(default_settings(config), steps=6)
    geometry = geometry_for(config, size=(32, 32), frame_num=9)
    return Setting(
        config=config,
        settings=settings,
        geometry=geometry,
        variants=shortcut_variants(settings, geometry),
        size=DenoiserSize(
            dim=config.dim, ffn_dim=config.ffn_dim, num_layers=config.num_layers, text_len=config.text_len
        ),
    )


@pytest.mark.parametrize("task", ["t2v-A14B", "i2v-A14B", "ti2v-5B", "t2v-1.3B"])
def test_every_task_samples_every_variant_with_random_weights(task: str) -> None:
    case = small_case(narrow(task))
    model = RandomModel(case.config, case.geometry, device=CPU, dtype=torch.bfloat16)
    for plan in case.plans().values():
        counted = model.forward_counter.total
        latents = model.sample(plan)
        assert latents.shape == (1, *case.geometry.latent_shape()) and torch.isfinite(latents).all()
        assert model.forward_counter.total - counted == plan.forwards


def test_random_experts_differ_and_keep_what_stays_in_float32() -> None:
    prepare = random_experts(narrow("t2v-A14B"), dtype=torch.bfloat16, attention="auto")
    high, low = (prepare(expert)(CPU) for expert in (Expert.HIGH_NOISE, Expert.LOW_NOISE))
    assert high.dtype == torch.bfloat16
    assert high.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16
    assert high.scale_shift_table.dtype == torch.float32
    assert not torch.equal(high.blocks[0].attn1.to_q.weight, low.blocks[0].attn1.to_q.weight)


@pytest.mark.parametrize(
    ("task", "size", "frame_num"),
    [("t2v-A14B", (832, 480), 81), ("i2v-A14B", (1280, 720), 49), ("ti2v-5B", (1280, 704), 121)],
)
def test_the_price_model_counts_what_torch_counts(task: str, size: tuple[int, int], frame_num: int) -> None:
    """One forward at the real width on the meta device, which works out shapes alone; every layer costs the same."""
    config, meta = replace(WAN_CONFIGS[task], num_layers=2), torch.device("meta")
    geometry = geometry_for(config, size=size, frame_num=frame_num)
    with meta:
        model = empty_denoiser(config)
        latents = torch.empty(1, config.in_channels, *geometry.latent_shape()[1:])
        timestep, text = torch.empty(1, dtype=torch.int64), torch.empty(1, config.text_len, config.text_dim)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(latents, timestep, text, return_dict=False)
    expected = small_case(config).size.forward_flops(geometry.tokens(geometry.latent_frames))
    assert counter.get_total_flops() == pytest.approx(expected, rel=5e-3)


def test_single_forward_steps_are_timed_by_themselves() -> None:
    case = small_case(narrow("t2v-A14B"))
    kinds = kinds_of(case.plans().values())
    assert set(kinds) == {
        StepKind(expert, frames, branches)
        for expert, frames in ((Expert.HIGH_NOISE, 3), (Expert.HIGH_NOISE, 2), (Expert.LOW_NOISE, 3))
        for branches in (1, 2)
    }
    truncated = plan_of_kind(kinds[StepKind(Expert.HIGH_NOISE, 2, 1)], StepKind(Expert.HIGH_NOISE, 2, 1), count=9)
    assert [step.guidance for step in truncated.steps] == [SingleBranch(Branch.COND)] * 3


def test_extrapolated_seconds_are_the_sum_over_the_steps() -> None:
    plan = small_case(narrow("t2v-A14B")).plans()["CFG truncation 5 + 3"]
    seconds = {kind: 10.0**kind.branches for kind in kinds_of([plan])}
    # six steps: one guided high-noise step, three truncated ones, two truncated low-noise ones
    assert extrapolated_seconds(plan, seconds) == 100.0 + 5 * 10.0


@pytest.mark.parametrize("task", ["t2v-A14B", "i2v-A14B"])
def test_random_weights_are_the_same_video_with_and_without_kept_inputs(task: str) -> None:
    case = small_case(narrow(task))
    model = RandomModel(case.config, case.geometry, device=CPU, dtype=torch.bfloat16)
    variants = engine_variants(case.plans()[PLAIN], can_compile=False)
    made = {name: model.sample(variant.plan, engine=variant.engine) for name, variant in variants.items()}
    assert torch.equal(made["nothing kept"], made[PLAIN]) and torch.equal(made["without kept keys"], made[PLAIN])
    assert torch.allclose(made["batched CFG"], made[PLAIN], atol=0.1)


def test_a_variant_is_the_run_with_more_flags() -> None:
    job = prepare(Request(task="t2v-demo", sample_steps=8))
    variants = asked_variants(job, ["--sample_steps 4", "--batch_cfg --cfg_truncate_steps 2"])
    assert list(variants) == [PLAIN, "--sample_steps 4", "--batch_cfg --cfg_truncate_steps 2"]
    assert [variant.plan.forwards for variant in variants.values()] == [16, 8, 14]
    assert [variant.engine.evaluate for variant in variants.values()] == [one_by_one, one_by_one, batched]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("--frame_num 17", "changes frame_num, which all variants share"),
        ("--dtype bfloat16", "changes dtype, which all variants share"),
        ("--sample_step 4", "did you mean --sample_steps"),
        ("--prompt 'open", "close its quotes"),
    ],
)
def test_a_variant_of_another_video_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        asked_variants(prepare(Request(task="t2v-demo")), [text])


def test_variants_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []

    def timed(name: str, seconds: list[float]) -> Timed:
        def run_once() -> float:
            calls.append(name)
            return seconds.pop(0)

        return Timed(warm_up=lambda: calls.append(f"warm {name}"), run=run_once)

    timings = time_in_turns({"a": timed("a", [3.0, 1.0, 2.0]), "b": timed("b", [5.0, 4.0, 9.0])}, repeats=3, device=CPU)
    assert calls == ["warm a", "warm b", "a", "b", "a", "b", "a", "b"]
    assert (timings["a"].median, timings["a"].minimum, timings["a"].maximum) == (2.0, 1.0, 3.0)
    assert timings["b"].median == 5.0 and timings["b"].peak_bytes is None
    # turn by turn 5/3, 4 and 9/2: not the ratio of the medians, which drift would decide
    assert timings["b"].relative_to(timings["a"]) == 4.0
