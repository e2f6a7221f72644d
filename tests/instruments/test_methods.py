"""The methods of a comparison: what a mode implies, what it refuses, and the controls."""

import argparse

import pytest

from wan.cli.compare import build_parser
from wan.errors import InvalidInput
from wan.instruments.flags import measured_job
from wan.instruments.methods import (
    OTHER_SEED,
    SAME_SEED,
    Method,
    baseline_of,
    complete_shortcuts,
    complete_switches,
    controls_for,
    fewer_steps_name,
    methods_for,
    steps_of_equal_cost,
)
from wan.job import Job, prepare
from wan.request import Request
from wan.sampling.price import DenoiserSize
from wan.shortcuts import Shortcuts

SIZE = DenoiserSize(dim=48, ffn_dim=64, num_layers=1, text_len=512)


def job_of(task: str, **shortcuts: object) -> Job:
    return prepare(Request(task=task, shortcuts=Shortcuts(**shortcuts)), needs_image=False)  # type: ignore[arg-type]


def completed(*flags: str) -> argparse.Namespace:
    args = build_parser().parse_args(flags)
    complete_switches(args)
    return args


@pytest.mark.parametrize(("task", "high"), [("ti2v-5B", 0), ("t2v-demo", 3), ("t2v-A14B", 3)])
def test_a_default_truncation_is_one_that_the_task_can_do(task: str, high: int) -> None:
    job, notices = complete_shortcuts("cfg_vs_baseline", job_of(task))
    asked = job.request.shortcuts
    assert (asked.cfg_truncate_steps, asked.cfg_truncate_high_noise_steps) == (5, high)
    flags = "--cfg_truncate_steps 5" + (f" --cfg_truncate_high_noise_steps {high}" if high else "")
    assert notices == [f"no truncation given: {flags}, as the founding documents recommend"]


def test_a_truncation_that_is_given_stays() -> None:
    job = job_of("t2v-demo", cfg_truncate_high_noise_steps=2)
    assert complete_shortcuts("cfg_vs_baseline", job) == (job, [])
    for mode in ("half_vs_baseline", "custom"):
        assert complete_shortcuts(mode, job_of("t2v-demo"))[1] == []


def test_the_flags_of_one_expert_get_its_default() -> None:
    """From the command line to the job, as ``wan compare --task ti2v-5B`` goes."""
    job, _ = complete_shortcuts("cfg_vs_baseline", measured_job(completed("--task", "ti2v-5B")))
    asked = job.request.shortcuts
    assert (asked.cfg_truncate_steps, asked.cfg_truncate_high_noise_steps) == (5, 0)


@pytest.mark.parametrize(
    ("flags", "completion"),
    [
        (["--comparison_mode", "half_vs_baseline"], "repeat"),
        (["--comparison_mode", "improved_vs_baseline"], "improved"),
        (["--comparison_mode", "combined_vs_baseline"], "improved"),
        (["--comparison_mode", "combined_vs_baseline", "--cfg_truncate_steps", "2"], "repeat"),
        (["--comparison_mode", "cfg_vs_half"], "repeat"),
        (["--comparison_mode", "cfg_vs_baseline"], None),
    ],
)
def test_a_mode_switches_half_frame_on(flags: list[str], completion: str | None) -> None:
    assert measured_job(completed(*flags)).request.shortcuts.frame_completion == completion


def test_a_mode_refuses_what_it_does_not_use() -> None:
    with pytest.raises(InvalidInput, match="--cfg_truncate_steps has no effect in --comparison_mode half_vs_baseline"):
        completed("--comparison_mode", "half_vs_baseline", "--cfg_truncate_steps", "3")
    with pytest.raises(InvalidInput, match="--comparison_mode custom needs a shortcut to compare"):
        completed("--comparison_mode", "custom")


def test_each_method_has_its_own_shortcuts_and_the_baseline_none() -> None:
    shortcuts = {"cfg_truncate_steps": 5, "frame_completion": "interpolate", "frame_positions": "spread"}
    methods = methods_for("cfg_vs_half", job_of("t2v-demo", **shortcuts))
    assert {method.name: method.job.request.shortcuts for method in methods} == {
        "baseline": Shortcuts(),
        "cfg_truncated": Shortcuts(cfg_truncate_steps=5),
        "half_frame": Shortcuts(frame_completion="interpolate", frame_positions="spread"),
    }
    assert [method.half_frame_stride for method in methods] == [None, None, 4]


def method_of(job: Job) -> Method:
    return Method(name="method", title="method", job=job)


def test_controls_are_the_floor_the_ceiling_and_fewer_steps_at_the_same_cost() -> None:
    job = job_of("t2v-demo", cfg_truncate_steps=5, cfg_truncate_high_noise_steps=3)
    baseline, method = baseline_of(job), method_of(job)
    steps = steps_of_equal_cost(method.plan, baseline, SIZE)
    assert steps == 16  # 32 of 40 forwards
    controls = controls_for((baseline, method), SIZE)
    assert [control.name for control in controls] == [SAME_SEED, OTHER_SEED, fewer_steps_name(16)]
    assert all(control.is_control and control.job.request.shortcuts == Shortcuts() for control in controls)
    assert [control.seed_shift for control in controls] == [0, 1000, 0]
    assert [len(control.plan.steps) for control in controls] == [20, 20, 16]


def test_a_method_that_saves_next_to_nothing_has_no_control_with_fewer_steps() -> None:
    job = prepare(Request(task="t2v-demo", sample_steps=6, shortcuts=Shortcuts(cfg_truncate_steps=1)))
    controls = controls_for((baseline_of(job), method_of(job)), SIZE)
    assert [control.name for control in controls] == [SAME_SEED, OTHER_SEED]
