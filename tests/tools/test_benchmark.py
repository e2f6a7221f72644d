"""tools/benchmark.py: a checkpoint against diffusers, real sizes with random weights, extrapolation, refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import benchmark
from tests.goldens import materialise
from wan.configs import WAN_CONFIGS, TaskConfig
from wan.instruments.bench.random_model import RandomModel, empty_denoiser, random_experts
from wan.instruments.bench.step_kinds import StepKind, extrapolated_seconds, kinds_of, plan_of_kind
from wan.instruments.bench.timing import Timed, time_in_turns
from wan.instruments.bench.variants import PLAIN, Case
from wan.sampling.geometry import geometry_for
from wan.sampling.guidance import Branch, SingleBranch
from wan.sampling.plan import Expert
from wan.sampling.price import DenoiserSize
from wan.settings import default_settings

CPU = torch.device("cpu")
SMALL = ["--size", "32*32", "--frame_num", "9", "--sample_steps", "6", "--repeats", "1"]
RANDOM = ["--random_weights", "--task", "t2v-demo", "--layers", "1", *SMALL]
TWO_EXPERT_VARIANTS = [PLAIN, "CFG truncation 5 + 3", "half-frame", "half-frame + CFG truncation 5 + 3"]


def narrow(task: str) -> TaskConfig:
    """The task with its channels, strides and experts, and a denoiser of next to no size."""
    return replace(WAN_CONFIGS[task], dim=24, num_heads=1, ffn_dim=48, num_layers=1, text_dim=16, text_len=8)


def small_case(config: TaskConfig) -> Case:
    return Case(
        config=config,
        settings=replace(default_settings(config), steps=6),
        geometry=geometry_for(config, size=(32, 32), frame_num=9),
        size=DenoiserSize(
            dim=config.dim, ffn_dim=config.ffn_dim, num_layers=config.num_layers, text_len=config.text_len
        ),
    )


def run(*flags: str, output: Path) -> dict[str, Any]:
    assert benchmark.main([*flags, "--output", str(output)]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def test_a_checkpoint_is_timed_beside_diffusers_and_makes_the_same_latents(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run("--ckpt_dir", str(tiny_checkpoint), *SMALL, output=tmp_path / "result.json")
    assert list(result["variants"]) == [*TWO_EXPERT_VARIANTS, "diffusers WanPipeline"]
    assert result["largest_difference_from_diffusers"] < 1e-4
    rows = result["variants"]
    assert [row["forwards"] for row in rows.values()] == [12, 7, 12, 7, 12]
    assert rows[PLAIN]["estimated_fraction"] == rows[PLAIN]["measured_fraction"] == 1.0
    out = capsys.readouterr().out
    assert "| variant | forwards | PFLOP | s | s per step |" in out
    assert "plain plan against WanPipeline" in out


def test_an_official_layout_is_timed_without_diffusers_and_says_so(tmp_path: Path) -> None:
    folder = materialise("ti2v_5B_t2v_unipc", tmp_path / "ckpt")
    flags = [
        "--task",
        "ti2v-5B",
        "--ckpt_dir",
        str(folder),
        "--size",
        "64*64",
        "--frame_num",
        "5",
        "--dtype",
        "float32",
    ]
    result = run(*flags, "--sample_steps", "6", "--repeats", "1", output=tmp_path / "result.json")
    assert list(result["variants"]) == [PLAIN, "CFG truncation 5"]
    assert any("diffusers WanPipeline is not timed" in note for note in result["notes"])


def test_random_weights_need_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(*RANDOM, output=tmp_path / "result.json")
    assert list(result["variants"]) == TWO_EXPERT_VARIANTS
    assert "extrapolated" not in result
    for row in result["variants"].values():
        assert 0 < row["estimated_fraction"] <= 1 and row["seconds"] > 0 and row["peak_bytes"] is None
    assert "1 layers of the task's 6" in capsys.readouterr().out


def test_extrapolation_says_so_and_adds_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(*RANDOM, "--steps_per_stage", "2", "--offload", "expert", output=tmp_path / "result.json")
    assert result["extrapolated"] and "EXTRAPOLATED: 2 steps of every kind" in capsys.readouterr().out
    kinds = result["step_kinds"]
    assert list(kinds)[:2] == [
        "high_noise, 3 latent frames, 2 forward(s)",
        "low_noise, 3 latent frames, 2 forward(s)",
    ]
    high, low = (row["seconds"] for row in list(kinds.values())[:2])
    assert result["variants"][PLAIN]["seconds"] == pytest.approx(4 * high + 2 * low)


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


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--repeats", "0"], "--repeats 0 must be at least 1"),
        (["--size", "big"], "'big' is not of the form W*H"),
        (["--random_weights", "--size", "100*100"], "the nearest is 96*96"),
        (["--random_weights", "--frame_num", "0"], "--frame_num 0 must be at least 1"),
        (["--random_weights", "--task", "i2v-14B"], "no CLIP features"),
        (["--random_weights", "--ckpt_dir", "x"], "exclude each other"),
        (["--random_weights", "--layers", "0"], "--layers 0 must be at least 1"),
        (["--random_weights", "--sample_steps", "0"], "--sample_steps 0 must be at least 1"),
        (["--random_weights", "--device", "cuda:99"], "cuda:99 is not here"),
        (["--layers", "2"], "--layers is for --random_weights"),
        (["--steps_per_stage", "2"], "--steps_per_stage is for --random_weights"),
        (["--task", "i2v-A14B", "--ckpt_dir", "x"], "needs an image"),
        (["--task", "t2v-A14B"], "needs --ckpt_dir"),
        (["--task", "t2v-A14B", "--ckpt_dir", "nowhere"], "nowhere is not a directory"),
        (["--threads", "two"], "invalid int value: 'two'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(flags) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err and captured.err.count("\n") == 1
