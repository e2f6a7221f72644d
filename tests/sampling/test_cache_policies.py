"""Which steps the planned caches skip: the published counts of MagCache, worked examples, stages, refusals."""

from dataclasses import replace

import pytest

from wan.cache_knobs import CACHE_KNOBS
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import prepare
from wan.request import Request
from wan.sampling.cache_policies import published_skips, skips
from wan.sampling.cache_settings import DEFAULTS, cache_settings
from wan.sampling.geometry import geometry_for
from wan.sampling.guidance import Branch
from wan.sampling.mag_curves import find_curve, load_curves, nearest
from wan.sampling.plan import Expert, Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, price
from wan.sampling.table import format_plan, plan_record
from wan.settings import default_settings
from wan.shortcuts import Shortcuts, shortcut_label


def plan(task: str = "t2v-A14B", **changes: object) -> Plan:
    config = WAN_CONFIGS[task]
    size = (832, 480) if task != "ti2v-5B" else (1280, 704)
    return make_plan(
        replace(default_settings(config), **changes),  # type: ignore[arg-type]
        geometry_for(config, size=size, frame_num=81),
    )


def cached(made: Plan) -> list[int]:
    assert all(step.cached in (frozenset(), frozenset(step.branches)) for step in made.steps)
    return [step.index for step in made.steps if step.cached]


@pytest.mark.parametrize(
    ("curve", "threshold", "retention", "skipped"),
    [("t2v-A14B", 0.06, 0.4, 28), ("t2v-A14B", 0.04, 0.2, 34), ("i2v-A14B", 0.06, 0.1, 21), ("ti2v-5B", 0.06, 0.2, 50)],
)
def test_the_published_curves_skip_the_published_forwards(
    curve: str, threshold: float, retention: float, skipped: int
) -> None:
    """480p, 720p, I2V at 480p (high-noise expert never), 5B; all with K = 2."""
    assert published_skips(load_curves()[curve], threshold=threshold, max_skips=2, retention=retention) == skipped


@pytest.mark.parametrize(
    ("task", "knobs", "skipped", "forwards"),
    [
        ("t2v-A14B", {}, 28, 80),
        ("t2v-A14B", {"cache_threshold": 0.04, "cache_retention": 0.2}, 34, 80),
        # the published rule parts the branches of a step here (21), a plan decides for both
        ("i2v-A14B", {}, 20, 80),
        ("ti2v-5B", {}, 50, 100),
    ],
)
def test_a_plan_skips_both_branches_of_a_step(task: str, knobs: dict[str, float], skipped: int, forwards: int) -> None:
    made = plan(task, cache="mag", steps=forwards // 2, **knobs)
    assert made.forwards == forwards - skipped == forwards - 2 * len(cached(made))
    size = DenoiserSize(dim=5120, ffn_dim=13824, num_layers=40, text_len=512)
    assert price(made, size).fractions()["flops"] == pytest.approx(1 - skipped / forwards)


def test_the_rule_by_hand() -> None:
    # products .9, .81 (error .1, .29): the second skip is over .25, and starts anew
    assert skips([0.9] * 6, threshold=0.25, max_skips=5, retained=1) == [False, True, False, True, False, True]
    assert skips([0.9] * 6, threshold=9.0, max_skips=2, retained=1) == [False, True, True, False, True, True]
    assert skips([0.9] * 4, threshold=9.0, max_skips=9, retained=3) == [False, False, False, True]
    # a ratio above 1 is an error too, and a threshold of 0 skips not even an exact 1
    assert skips([1.2, 1.2], threshold=0.19, max_skips=9, retained=0) == [False, False]
    assert skips([1.0] * 4, threshold=0.0, max_skips=9, retained=0) == [False] * 4


def test_curves_are_whole_and_say_where_they_come_from() -> None:
    curves = load_curves()
    assert {"t2v-A14B", "i2v-A14B", "ti2v-5B", "ti2v-5B-image", "t2v-demo"} == set(curves)
    for curve in curves.values():
        assert len(curve.cond) == len(curve.uncond) == curve.steps > curve.high_noise_steps
        assert curve.cond[0] == curve.uncond[0] == 1.0
        assert curve.source.startswith(("https://github.com/Zehong-Ma/MagCache", "measured: python tools/"))
    made = plan("t2v-A14B", steps=40)
    assert curves["t2v-A14B"].high_noise_steps == sum(step.expert is Expert.HIGH_NOISE for step in made.steps)


def test_another_step_count_takes_the_nearest_ratio_of_the_same_expert() -> None:
    assert nearest([1.0, 2.0, 3.0], 5) == [1.0, 1.0, 2.0, 3.0, 3.0] or nearest([1.0, 2.0, 3.0], 5)[2] == 2.0
    assert nearest([1.0, 2.0, 3.0], 1) == [1.0]
    curve = load_curves()["t2v-A14B"]
    assert curve.of_expert(Expert.LOW_NOISE, Branch.COND, steps=7)[0] == 0.65523  # the switch; never skipped
    assert min(curve.of_expert(Expert.HIGH_NOISE, Branch.COND, steps=9)) > 0.99
    made = plan("t2v-A14B", steps=20, cache="mag")
    first_low = next(step.index for step in made.steps if step.expert is Expert.LOW_NOISE)
    assert first_low not in cached(made) and cached(made)


def test_an_image_takes_the_curve_of_image_to_video() -> None:
    assert find_curve("ti2v-5B-image")[0].cond != find_curve("ti2v-5B")[0].cond


def test_a_task_without_a_curve_takes_the_nearest_and_says_so() -> None:
    made = plan("t2v-1.3B", cache="mag")
    assert any("takes that of ti2v-5B: it is not calibrated on this checkpoint" in text for text in made.notices)
    with pytest.raises(InvalidInput, match=r"--cache mag has no calibrated curve for t2v-new .*use --cache sea"):
        find_curve("t2v-new")


def test_another_shift_than_the_calibrated_one_is_said() -> None:
    (notice,) = plan("t2v-A14B", cache="mag", shift=5.0).notices
    assert notice.startswith("--cache mag was calibrated at shift 12 and this run has 5")
    assert not plan("t2v-A14B", cache="mag").notices


def test_taylor_computes_every_nth_step_after_a_warm_up_in_each_stage() -> None:
    made = plan("t2v-A14B", steps=20, cache="taylor", cache_interval=3)
    # 13 high-noise steps: 0 1 2, 5, 8, 11; seven low-noise steps from 13 on: 13 14 15, 18
    assert cached(made) == [3, 4, 6, 7, 9, 10, 12, 16, 17, 19]
    assert cached(plan("t2v-A14B", steps=20, cache="taylor")) == [3, 5, 7, 9, 11, 16, 18]
    assert not cached(plan("t2v-A14B", steps=20, cache="taylor", cache_interval=1))


@pytest.mark.parametrize("cache", ["mag", "taylor"])
@pytest.mark.parametrize(
    "shortcuts",
    [
        {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3},
        {"cfg_truncate_steps": 5, "cfg_truncate_mode": "uncond"},
        {"frame_completion": "interpolate", "frame_positions": "spread"},
    ],
)
def test_every_cached_branch_was_computed_at_the_last_computed_step_of_the_stage(
    cache: str, shortcuts: dict[str, object]
) -> None:
    knobs = {"cache_threshold": 9.0, "cache_max_skips": 9} if cache == "mag" else {"cache_interval": 4}
    made = plan("t2v-A14B", steps=20, cache=cache, **knobs, **shortcuts)
    assert cached(made)
    for stage in made.stages:
        held: set[Branch] = set()
        for step in stage.steps:
            if step.cached:
                assert held >= set(step.branches)
            else:
                held = set(step.branches)


@pytest.mark.parametrize("cache", ["sea", "first_block"])
def test_a_cache_that_decides_while_sampling_has_an_upper_bound_for_a_price(cache: str) -> None:
    made = plan("t2v-A14B", cache=cache)
    assert made.forwards == plan("t2v-A14B").forwards
    (notice,) = made.notices
    assert notice.startswith(f"--cache {cache} decides while sampling") and "upper bounds" in notice


def test_table_record_and_label_name_the_cache() -> None:
    made = plan("t2v-A14B", steps=20, cache="taylor", cache_order=2)
    assert format_plan(made).count("     0  cfg 4, from the cache") == 5
    record = plan_record(made)
    assert record["cache"] == {"name": "taylor", "order": 2, "interval": 2}
    assert record["steps"][3]["branches"] == [] and record["steps"][3]["cached"] == ["cond", "uncond"]
    assert plan_record(plan())["cache"] is None
    assert shortcut_label({"cache": "mag", "cache_threshold": 0.0, "cache_max_skips": 3}) == (
        "mag cache (threshold 0, max skips 3)"
    )
    assert shortcut_label({"cache": "none"}) == "none"


def test_every_knob_has_a_default_or_comes_with_the_curve() -> None:
    for name, knobs in CACHE_KNOBS.items():
        if name != "none":
            assert set(DEFAULTS[name]) | ({"retention"} if name == "mag" else set()) == set(knobs)
    asked = cache_settings(Shortcuts(cache="sea", cache_threshold=0.5))
    assert asked is not None and (asked.threshold, asked.max_skips, asked.order) == (0.5, 2, 1)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cache": "tea"}, "--cache 'tea' is unknown; choose one of none, sea, mag, first_block, taylor"),
        (
            {"cache_threshold": 0.1},
            "--cache_threshold has no effect with --cache none; leave it out, or use --cache sea",
        ),
        ({"cache": "sea", "cache_interval": 2}, "--cache_interval has no effect with --cache sea; .* --cache taylor"),
        ({"cache": "sea", "cache_retention": 0.2}, "--cache_retention has no effect .* use --cache mag"),
        ({"cache": "first_block", "cache_max_skips": 2}, "--cache_max_skips has no effect .* --cache sea or mag"),
        ({"cache": "sea", "cache_order": 2}, "--cache_order 2 must be 0 to 1 with --cache sea"),
        ({"cache": "taylor", "cache_order": 3}, "--cache_order 3 must be 0 to 2 with --cache taylor"),
        ({"cache": "sea", "cache_threshold": -0.1}, "--cache_threshold -0.1 must be 0"),
        ({"cache": "mag", "cache_threshold": float("nan")}, "--cache_threshold nan must be 0"),
        ({"cache": "mag", "cache_retention": 1.5}, "--cache_retention 1.5 must be from 0 to 1"),
        ({"cache": "mag", "cache_max_skips": 0}, "--cache_max_skips 0 must be 1 or more"),
        ({"cache": "taylor", "cache_interval": 0}, "--cache_interval 0 must be 1"),
    ],
)
def test_refusals(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        Shortcuts(**fields)  # type: ignore[arg-type]


def test_a_job_says_what_the_cache_decides() -> None:
    job = prepare(Request(task="t2v-demo", prompt="", shortcuts=Shortcuts(cache="sea")))
    assert any("--cache sea decides while sampling" in notice for notice in job.notices)
    assert job.record()["cache"] == "sea"
