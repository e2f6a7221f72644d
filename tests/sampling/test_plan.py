"""Plans: known answers of every policy, clipping, fallbacks, and the sentence of every refusal."""

from dataclasses import replace
from typing import Any

import pytest

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.sampling.completion import COMPLETIONS
from wan.sampling.geometry import Geometry, geometry_for
from wan.sampling.guidance import TRUNCATION_MODES, Branch
from wan.sampling.plan import Expert, Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, forwards_by, price
from wan.sampling.table import format_plan, format_price, plan_record
from wan.settings import SamplingSettings, default_settings
from wan.shortcuts import FRAME_COMPLETIONS

A14B = WAN_CONFIGS["t2v-A14B"]
SIZE_A14B = DenoiserSize(dim=5120, ffn_dim=13824, num_layers=40, text_len=512)
SETTINGS = replace(default_settings(A14B), steps=20)


def geometry(frame_num: int = 49) -> Geometry:
    return geometry_for(A14B, size=(832, 480), frame_num=frame_num)


def plan(settings: SamplingSettings = SETTINGS, frame_num: int = 49) -> Plan:
    return make_plan(settings, geometry(frame_num))


def test_plain_plan_is_thirteen_and_seven_steps_of_full_guidance() -> None:
    stages = plan().stages
    assert [(stage.expert, stage.latent_frames, len(stage.steps)) for stage in stages] == [
        (Expert.HIGH_NOISE, 13, 13),
        (Expert.LOW_NOISE, 13, 7),
    ]
    assert plan().forwards == 40
    assert [step.guidance.label for step in plan().steps] == ["cfg 4"] * 13 + ["cfg 3"] * 7


def test_restart_at_switch_marks_the_first_step_of_the_other_expert() -> None:
    restarting = plan(replace(SETTINGS, restart_at_switch=True))
    assert [step.index for step in restarting.steps if step.restarts] == [13]
    assert not any(step.restarts for step in plan().steps)
    one_expert = default_settings(WAN_CONFIGS["ti2v-5B"])
    with pytest.raises(InvalidInput, match="--restart_at_switch needs a model with two experts"):
        make_plan(
            replace(one_expert, restart_at_switch=True),
            geometry_for(WAN_CONFIGS["ti2v-5B"], size=(832, 480), frame_num=49),
        )


def test_truncation_takes_the_last_steps_of_each_expert() -> None:
    settings = replace(SETTINGS, cfg_truncate_steps=5, cfg_truncate_high_noise_steps=3, cfg_truncate_mode="cond")
    one_pass = [step.index for step in plan(settings).steps if len(step.branches) == 1]
    assert one_pass == [10, 11, 12, 15, 16, 17, 18, 19]
    assert plan(settings).forwards == 32
    assert forwards_by(plan(settings)) == {
        "high_noise.cond": 13,
        "high_noise.uncond": 10,
        "low_noise.cond": 7,
        "low_noise.uncond": 2,
    }


def test_uncond_mode_skips_the_conditional_pass() -> None:
    settings = replace(SETTINGS, cfg_truncate_steps=5, cfg_truncate_mode="uncond")
    assert {step.branches for step in plan(settings).steps[15:]} == {(Branch.UNCOND,)}


def test_counts_beyond_the_stage_are_clipped_with_a_notice() -> None:
    settings = replace(SETTINGS, cfg_truncate_steps=50, cfg_truncate_high_noise_steps=14, cfg_truncate_mode="cond")
    assert plan(settings).forwards == 20
    assert plan(settings).notices == (
        "--cfg_truncate_steps 50 is clipped to 7: the low_noise expert has 7 steps",
        "--cfg_truncate_high_noise_steps 14 is clipped to 13: the high_noise expert has 13 steps",
    )


@pytest.mark.parametrize("mode", ["reuse", "reuse_uncond", "decay"])
def test_reuse_without_a_full_step_falls_back_to_cond_with_a_notice(mode: str) -> None:
    settings = replace(SETTINGS, cfg_truncate_steps=7, cfg_truncate_mode=mode)
    assert {step.guidance.label for step in plan(settings).steps[13:]} == {"cond only"}
    (notice,) = plan(settings).notices
    assert "the low_noise expert has no fully guided step left" in notice


def test_guidance_scale_one_needs_one_pass_everywhere() -> None:
    settings = replace(SETTINGS, low_noise_guidance_scale=1.0, high_noise_guidance_scale=1.0)
    assert plan(settings).forwards == 20


@pytest.mark.parametrize(("frame_num", "half", "full"), [(49, 7, 13), (81, 11, 21), (121, 16, 31), (45, 6, 12)])
def test_half_frame_counts(frame_num: int, half: int, full: int) -> None:
    stages = plan(replace(SETTINGS, frame_completion="repeat"), frame_num).stages
    assert [stage.latent_frames for stage in stages] == [half, full]
    assert [stage.position_stride for stage in stages] == [1, 1]


def test_kept_frames_can_stand_at_their_own_positions() -> None:
    stages = plan(replace(SETTINGS, frame_completion="repeat", frame_positions="spread")).stages
    assert [stage.position_stride for stage in stages] == [2, 1]
    assert {step.position_stride for step in plan().steps} == {1}
    with pytest.raises(InvalidInput, match="--frame_positions spread needs --enable_half_frame_generation"):
        replace(SETTINGS, frame_positions="spread")


def test_the_founding_documents_frame_steps_and_the_price_of_half_frame() -> None:
    tag = price(plan(replace(SETTINGS, frame_completion="repeat")), SIZE_A14B)
    assert (tag.plain.frame_steps, tag.planned.frame_steps) == (980, 668)
    assert tag.plain.forwards == tag.planned.forwards == 40
    tokens = 30 * 52
    assert tag.planned.token_forwards == 2 * tokens * (13 * 7 + 7 * 13)


def test_flops_of_one_a14b_forward() -> None:
    assert SIZE_A14B.forward_flops(32760) == pytest.approx(1.68e15, rel=0.005)
    assert SIZE_A14B.forward_flops(75600) == pytest.approx(6.52e15, rel=0.005)
    frame = 30 * 52
    assert SIZE_A14B.forward_flops(11 * frame) / SIZE_A14B.forward_flops(21 * frame) == pytest.approx(0.393, abs=0.005)


def test_table_and_record_show_every_step() -> None:
    made = plan(replace(SETTINGS, frame_completion="improved", frame_positions="spread", cfg_truncate_steps=2))
    text = format_plan(made)
    assert text.count("\n") == 1 + 20 + 1
    assert "high noise -> low noise, 7 -> 13 latent frames (improved)" in text
    assert text.count("  7 every 2nd  ") == 13
    record = plan_record(made)
    assert [step["index"] for step in record["steps"]] == list(range(20))
    assert set(record["steps"][0]) == {
        "index", "sigma", "timestep", "expert", "latent_frames", "position_stride", "branches", "cached", "guidance",
        "restarts", "corrects", "update",
    }  # fmt: skip
    assert "fraction" in format_price(price(made, SIZE_A14B))


def test_policy_names_match_the_registries() -> None:
    assert tuple(COMPLETIONS) == FRAME_COMPLETIONS
    assert {"uncond", "cond", "reuse"} <= set(TRUNCATION_MODES)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "--sample_steps 0 must be at least 1"),
        ({"shift": 0.0}, "--sample_shift 0 must be greater than 0"),
        ({"shift": float("nan")}, "--sample_shift nan must be greater than 0"),
        ({"solver": "heun"}, "--sample_solver 'heun' is unknown; choose one of unipc, dpm"),
        ({"cfg_truncate_steps": -1}, "--cfg_truncate_steps -1 must be 0"),
        ({"cfg_truncate_mode": "none"}, "--cfg_truncate_mode 'none' is unknown"),
        ({"frame_completion": "magic"}, "--frame_completion 'magic' is unknown"),
        ({"frame_positions": "magic"}, "--frame_positions 'magic' is unknown"),
        ({"boundary": None, "cfg_truncate_high_noise_steps": 3}, "needs a model with two experts; this task has one"),
        ({"boundary": None, "frame_completion": "repeat"}, "needs a model with two experts, because"),
        ({"frame_completion": "repeat", "steps": 1}, "needs a low-noise step to complete the frames"),
    ],
)
def test_refusals(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        plan(replace(SETTINGS, **changes))


def test_half_frame_of_one_frame_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cannot halve a one-frame output"):
        make_plan(replace(SETTINGS, frame_completion="repeat"), replace(geometry(), pixel_frames=1))
