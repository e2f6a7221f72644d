"""The plan of a run by budget: which one, what it was carried over from, what is refused, and without a calibration."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.planning.calibrations import EXPECTED, write
from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import Job, prepare
from wan.planning.published import MAX_SKIPS, RETENTIONS, THRESHOLDS, published_plan
from wan.request import Request
from wan.runs import checkpoint_identity
from wan.sampling.plan import Expert, Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import price, published_size
from wan.shortcuts import Shortcuts, shortcut_label, shortcut_values, shortcuts_from


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plans of 5, 10 and 14 steps for the demo model at its defaults."""
    return write(tmp_path_factory.mktemp("plans") / "calibration.json", 0.25, 0.5, 0.7)


def job_of(shortcuts: Shortcuts, **request: Any) -> Job:
    values = {"task": "t2v-demo", "prompt": "x"} | request
    return prepare(Request(**values, shortcuts=shortcuts), needs_image=False)


@pytest.mark.parametrize(
    ("asked", "steps"),
    [
        (Shortcuts(budget=0.25), 5),
        (Shortcuts(budget=0.49), 5),
        (Shortcuts(budget=0.5), 10),
        (Shortcuts(budget=0.99), 14),
        (Shortcuts(preset="balanced"), 14),
        (Shortcuts(preset="fast"), 10),
        (Shortcuts(preset="max"), 5),
    ],
)
def test_the_dearest_plan_within_the_budget_is_taken(asked: Shortcuts, steps: int, plans: Path) -> None:
    plan = job_of(replace(asked, plan=plans)).plan
    assert len(plan.steps) == steps and plan.forwards == 2 * steps
    cost = price(plan, published_size(WAN_CONFIGS["t2v-demo"])).fractions()
    share = asked.asked_budget
    assert share is not None and cost["flops"] == cost["forwards"] == steps / 20 <= share


@pytest.mark.parametrize("asked", [Shortcuts(budget=1.0), Shortcuts(preset="exact")])
def test_the_whole_budget_is_the_plain_plan(asked: Shortcuts, plans: Path) -> None:
    plain = job_of(Shortcuts()).plan
    assert job_of(asked).plan == job_of(replace(asked, plan=plans)).plan == plain


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"sample_steps": 0}, "--sample_steps 0 must be at least 1"),
        ({"sample_shift": -1.0}, "--sample_shift -1 must be greater than 0"),
    ],
)
@pytest.mark.parametrize("asked", [Shortcuts(), Shortcuts(budget=0.5)])
def test_what_no_plan_has_is_refused_with_and_without_a_budget(
    asked: Shortcuts, request_: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        job_of(asked, **request_)


def test_a_calibrated_run_says_its_expected_error_and_nothing_else(tmp_path: Path) -> None:
    identity = checkpoint_identity(SOURCE_DIR / "checkpoints" / "t2v-demo")["id"]
    own = write(tmp_path / "own.json", 0.5, checkpoint=identity)
    job = job_of(Shortcuts(plan=own))
    assert job.plan.notices == ()
    assert job.notices == (
        "expected error against the plain run: PSNR 39.5 dB, worst clip 28.3 dB, motion ratio 0.99 (36 clips that it "
        "was not tuned on)",
    )
    assert job.plan.expectation == EXPECTED.sentence()


def test_a_plan_that_was_not_verified_says_so(tmp_path: Path) -> None:
    job = job_of(Shortcuts(plan=write(tmp_path / "plan.json", 0.5, expected=None)))
    assert "the plan of budget 0.5 was not verified: its error is unknown" in job.plan.notices
    assert job.plan.expectation is None


def test_another_checkpoint_is_said(plans: Path) -> None:
    (notice,) = job_of(Shortcuts(plan=plans, budget=0.5)).plan.notices
    assert notice.startswith(f"{plans} was made for another checkpoint (of t2v-demo, 000000000000) than ")
    assert "its plan is carried over as it is" in notice and "wan tune` calibrates this one" in notice


def test_another_task_with_the_same_experts_is_said_without_a_checkpoint(plans: Path) -> None:
    first, *_ = job_of(Shortcuts(plan=plans, budget=0.5), task="t2v-A14B").plan.notices
    assert "was made for another checkpoint (of t2v-demo, 000000000000) than t2v-A14B here" in first


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"sample_steps": 40}, "calibrated with steps 20, and this run has 40:"),
        ({"sample_shift": 5.0}, "calibrated with shift 12, and this run has 5:"),
        ({"sample_guide_scale": (4.0, 5.0)}, "calibrated with guidance scales 3 and 4, and this run has 4 and 5:"),
        ({"size": (32, 32)}, "calibrated with size 64*64, and this run has 32*32:"),
        ({"frame_num": 25}, "calibrated with frames 49, and this run has 25:"),
        ({"sample_solver": "dpm++"}, "calibrated with solver unipc, and this run has dpm++:"),
        ({"sample_steps": 30, "frame_num": 81}, "with steps 20, frames 49, and this run has 30, 81:"),
    ],
)
def test_what_is_carried_over_is_said(request_: dict[str, Any], sentence: str, plans: Path) -> None:
    job = job_of(Shortcuts(plan=plans, budget=0.5), **request_)
    (notice,) = [one for one in job.plan.notices if "this plan was calibrated" in one]
    assert sentence in notice
    assert (
        "its sigmas and weights are carried over as they are, and the expected error below is that of the calibration"
    ) in notice
    assert ("guidance scales carry over worst, so calibrate for them" in notice) == ("sample_guide_scale" in request_)


def test_a_carried_plan_keeps_sigmas_and_weights_and_has_the_runs_own_shape_and_scale(plans: Path) -> None:
    own = job_of(Shortcuts(plan=plans, budget=0.5)).plan
    other = job_of(Shortcuts(plan=plans, budget=0.5), frame_num=25, sample_guide_scale=(2.0, 6.0)).plan
    assert other.sigmas == own.sigmas
    assert [step.update for step in other.steps] == [step.update for step in own.steps]
    assert {step.latent_frames for step in other.steps} == {7}
    labels = {(step.expert, step.guidance.label) for step in other.steps}
    assert labels == {(Expert.HIGH_NOISE, "cfg 6"), (Expert.LOW_NOISE, "cfg 2")}
    assert other.geometry.pixel_frames == 25 and other.plain_steps == 20


@pytest.mark.parametrize(("steps", "budget", "kept"), [(40, 0.25, 10), (40, 0.35, 14), (16, 0.625, 10), (30, 0.34, 10)])
def test_a_budget_is_of_the_runs_own_steps(steps: int, budget: float, kept: int, plans: Path) -> None:
    plan = job_of(Shortcuts(plan=plans, budget=budget), sample_steps=steps).plan
    assert (len(plan.steps), plan.plain_steps) == (kept, steps)


@pytest.mark.parametrize(("budget", "steps"), [(0.1, 20), (0.2, 24), (0.24, 20), (0.3, 13)])
def test_a_budget_below_the_cheapest_plan_names_one_that_suffices(budget: float, steps: int, plans: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the cheapest plan of .* costs 10; raise it to at least") as caught:
        job_of(Shortcuts(plan=plans, budget=budget), sample_steps=steps)
    enough = float(str(caught.value).split("at least ")[1].split(",")[0])
    assert len(job_of(Shortcuts(plan=plans, budget=enough), sample_steps=steps).plan.steps) == 5


def test_several_plans_and_no_budget_are_refused(plans: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds plans for the budgets 0\.25, 0\.5, 0\.7; say which with --budget"):
        job_of(Shortcuts(plan=plans))


@pytest.mark.parametrize("task", ["ti2v-5B", "t2v-14B", "i2v-A14B"])
def test_other_experts_are_refused(task: str, plans: Path) -> None:
    with pytest.raises(InvalidInput, match=r"was calibrated for t2v-demo, where step \d+ \(sigma .* cannot be carried"):
        job_of(Shortcuts(plan=plans, budget=0.7), task=task)


def test_the_calibration_of_the_checkpoints_folder_is_found(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for entry in tiny_checkpoint.iterdir():
        (folder / entry.name).symlink_to(entry)
    without = job_of(Shortcuts(budget=0.5), ckpt_dir=folder).plan
    assert without.cache is not None and "not calibrated on this checkpoint" in without.notices[0]
    write(folder / "calibration.json", 0.5)
    plan = job_of(Shortcuts(budget=0.5), ckpt_dir=folder).plan
    assert plan.solver == "fitted" and len(plan.steps) == 10


def test_a_damaged_calibration_in_the_folder_names_its_file(tmp_path: Path, tiny_checkpoint: Path) -> None:
    (tmp_path / "calibration.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"the plans of .*calibration\.json are not JSON"):
        job_of(Shortcuts(budget=0.5), ckpt_dir=tmp_path)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"budget": 0.0}, "--budget 0 must be above 0 and at most 1"),
        ({"budget": 1.5}, "--budget 1.5 must be above 0 and at most 1"),
        ({"budget": math.nan}, "--budget nan must be above 0 and at most 1"),
        ({"budget": -0.5}, "--budget -0.5 must be above 0"),
        ({"budget": 0.5, "preset": "fast"}, "--budget 0.5 and --preset fast both set the budget"),
        ({"preset": "faster"}, "--preset 'faster' is unknown; choose one of exact, balanced, fast, max"),
        (
            {"budget": 0.5, "cfg_truncate_steps": 2},
            "--budget 0.5 chooses the shortcuts itself, and --cfg_truncate_steps",
        ),
        ({"preset": "exact", "cache": "sea"}, "--preset exact chooses the shortcuts itself, and --cache was given too"),
        ({"plan": "x.json", "cfg_truncate_mode": "cond"}, "--plan x.json chooses the shortcuts itself"),
        (
            {"budget": 0.5, "enable_half_frame_generation": True},
            "chooses the shortcuts itself, and --enable_half_frame_generation was given too",
        ),
    ],
)
def test_budgets_that_contradict_themselves_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        shortcuts_from(values)
    assert sentence in str(caught.value)


def test_a_path_may_be_a_text_in_python() -> None:
    assert shortcuts_from({"plan": "a/b.json"}) == Shortcuts(plan=Path("a/b.json"))


@pytest.mark.parametrize(
    ("shortcuts", "label"),
    [
        (Shortcuts(budget=0.5), "budget 0.5"),
        (Shortcuts(preset="fast"), "budget 0.5"),
        (Shortcuts(plan=Path("p.json"), budget=0.35), "plan p.json; budget 0.35"),
        (Shortcuts(plan=Path("p.json")), "plan p.json"),
    ],
)
def test_what_results_call_it(shortcuts: Shortcuts, label: str) -> None:
    assert shortcut_label(shortcut_values(shortcuts)) == label


TASKS = ("t2v-A14B", "i2v-A14B", "ti2v-5B", "t2v-14B", "t2v-1.3B")


def cost_of(plan: Plan, job: Job) -> float:
    return price(plan, published_size(job.config)).fractions()["flops"]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("budget", [0.7, 0.8, 0.95])
def test_without_a_calibration_the_budget_is_kept_by_published_facts(task: str, budget: float) -> None:
    job = job_of(Shortcuts(budget=budget), task=task)
    assert cost_of(job.plan, job) <= budget
    notice = job.plan.notices[0]
    assert notice.startswith(
        "not calibrated on this checkpoint: the plan is MagCache's on a published curve (--cache mag"
    )
    assert f"at {cost_of(job.plan, job):.2f} of the plain run's cost, and its error here is unknown" in notice
    assert "wan tune` finds a plan for this checkpoint" in notice


def test_it_is_the_mildest_that_suffices() -> None:
    job = job_of(Shortcuts(budget=0.7), task="t2v-A14B")
    cache = job.plan.cache
    assert cache is not None
    mild = [
        (retention, skips, threshold) for retention in RETENTIONS for skips in MAX_SKIPS for threshold in THRESHOLDS
    ]
    chosen = (cache.retention, cache.max_skips, cache.threshold)
    for retention, skips, threshold in mild[: mild.index(chosen)]:
        settings = replace(
            job.settings,
            budget=None,
            cache="mag",
            cache_threshold=threshold,
            cache_max_skips=skips,
            cache_retention=retention,
        )
        assert cost_of(make_plan(settings, job.geometry), job) > 0.7


def test_with_one_pass_the_plain_run_has_one_pass_too() -> None:
    job = job_of(Shortcuts(budget=0.7), task="t2v-A14B", sample_guide_scale=(1.0,))
    assert job.plan.forwards < 0.7 * 40 + 1e-9


def test_a_budget_that_no_published_plan_keeps_names_the_cheapest() -> None:
    job = job_of(Shortcuts(), task="t2v-A14B")
    with pytest.raises(InvalidInput, match="the cheapest of them costs") as caught:
        published_plan(job.config, job.settings, job.geometry, budget=0.01)
    enough = float(str(caught.value).split("costs ")[1].split(";")[0])
    assert published_plan(job.config, job.settings, job.geometry, budget=enough).forwards < job.plan.forwards
