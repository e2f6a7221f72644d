"""The table of measures: every row's value on constructed videos, its direction and aggregate, and what it drives."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from wan.analysis import metrics
from wan.analysis.comparison import CaseResult, judge, summarise
from wan.analysis.comparison_report import format_controls, format_method
from wan.analysis.measures import HEADLINES, MEASURES, SECTIONS, Cost, Measure, Observation, measure
from wan.analysis.measures import summarise as summarise_values
from wan.sampling.geometry import kept_pixel_frames

BASELINE_COST = Cost(
    forwards=40, token_forwards=8000, flops=4.0, inference_seconds=3.0, switch_seconds=0.1, decode_seconds=0.2
)
COST = replace(BASELINE_COST, forwards=30, flops=1.0, inference_seconds=1.5)
PARTS = {"kept_psnr", "kept_ssim", "filled_psnr", "filled_ssim"}
SMALL_IS_BAD = {"psnr", "ssim", *PARTS, "motion", "baseline_motion", "motion_ratio", "speed_up"}


def levels(*values: float) -> np.ndarray:
    """(N, 16, 16, 3): every frame one grey level."""
    return np.ones((1, 16, 16, 3)) * np.array(values)[:, None, None, None]


def noise(seed: int, frames: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).random((frames, 16, 16, 3), dtype=np.float32)


def observation(method: np.ndarray, baseline: np.ndarray, *, stride: int | None = None) -> Observation:
    return Observation(
        method=method, baseline=baseline, cost=COST, baseline_cost=BASELINE_COST, half_frame_stride=stride
    )


def ssim_of_levels(a: float, b: float) -> float:
    """SSIM of two flat pictures: the luminance term."""
    return (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)


# latent frames of four pixel frames behind the first: frame 0 and frames 5 to 8 are kept, 1 to 4 filled
METHOD = levels(0.4, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4)
BASELINE = levels(0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.6)
EXPECTED: Mapping[str, float] = {
    "absolute_error_mean": 0.6 / 9,
    "absolute_error_max": 0.2,
    "absolute_error_std": float(np.std([0, 0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0.2])),
    "relative_error_mean": (4 * 0.1 / (0.4 + 1 / 255) + 0.2 / (0.6 + 1 / 255)) / 9,
    "relative_error_max": 0.2 / (0.6 + 1 / 255),
    "mse": 0.08 / 9,
    "psnr": -10 * math.log10(0.08 / 9),
    "ssim": (4 + 4 * ssim_of_levels(0.5, 0.4) + ssim_of_levels(0.4, 0.6)) / 9,
    "kept_psnr": -10 * math.log10(0.04 / 5),
    "kept_ssim": (4 + ssim_of_levels(0.4, 0.6)) / 5,
    "filled_psnr": 20.0,
    "filled_ssim": ssim_of_levels(0.5, 0.4),
    "temporal_difference_error": (0.1**2 + 0.1**2 + 0.2**2) / 8,
    "motion": 0.2 / 8,
    "baseline_motion": 0.2 / 8,
    "motion_ratio": 1.0,
    "speed_up": 2.0,
    "flops_fraction": 0.25,
}


def test_the_table_is_what_is_tested_here() -> None:
    assert MEASURES.keys() == EXPECTED.keys()
    assert kept_pixel_frames(9) == (True, *[False] * 4, *[True] * 4)


@pytest.mark.parametrize("name", MEASURES)
def test_every_row_on_constructed_videos(name: str) -> None:
    value = MEASURES[name].value(observation(METHOD, BASELINE, stride=4))
    assert value == pytest.approx(EXPECTED[name], rel=1e-6)


def test_all_rows_at_once_without_those_that_do_not_apply() -> None:
    assert measure(observation(METHOD, BASELINE, stride=4)) == pytest.approx(dict(EXPECTED), rel=1e-6)
    assert measure(observation(METHOD, BASELINE)).keys() == EXPECTED.keys() - PARTS


def test_the_rows_are_the_single_metrics() -> None:
    method, baseline = noise(0), noise(1)
    seen = observation(method, baseline)
    values = measure(seen)
    absolute, relative = metrics.absolute_error(method, baseline), metrics.relative_error(method, baseline)
    for part in ("mean", "max", "std"):
        assert values[f"absolute_error_{part}"] == getattr(absolute, part)
    assert (values["relative_error_mean"], values["relative_error_max"]) == (relative.mean, relative.max)
    assert (values["mse"], values["psnr"]) == (metrics.mse(method, baseline), metrics.psnr(method, baseline))
    assert seen.psnrs == metrics.psnr_per_frame(method, baseline)
    assert seen.ssims == metrics.ssim_per_frame(method, baseline)
    assert values["ssim"] == pytest.approx(np.mean(seen.ssims))
    assert values["temporal_difference_error"] == metrics.temporal_difference_error(method, baseline)
    assert values["motion_ratio"] == pytest.approx(values["motion"] / values["baseline_motion"])


def test_a_picture_has_no_motion() -> None:
    values = measure(observation(levels(0.5), levels(0.4)))
    assert (values["motion"], values["motion_ratio"], values["temporal_difference_error"]) == (0.0, 1.0, 0.0)


def test_equal_videos_score_perfectly_and_the_report_is_strict_json() -> None:
    result = judge(observation(noise(0), noise(0)), prompt="", seed=0)
    assert result.measures["psnr"] == math.inf and result.measures["ssim"] == pytest.approx(1.0)
    assert result.measures["mse"] == 0.0
    report = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert report["measures"]["psnr"] == "inf" and float(report["psnr_per_frame"][0]) == math.inf
    assert [report["measures"][f"absolute_error_{part}"] for part in ("mean", "max", "std")] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("method", "baseline", "message"),
    [
        (levels(0.1, 0.2), levels(0.1), r"\(2, 16, 16, 3\) and \(1, 16, 16, 3\) cannot be compared"),
        (np.zeros((1, 16, 16, 3), dtype=np.uint8), levels(0.1), "not uint8: divide"),
        (levels(-0.5), levels(0.1), "span -0.5 to -0.5: rescale"),
        (levels(math.nan), levels(0.1), "span nan to nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(method: np.ndarray, baseline: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(observation(method, baseline))


@pytest.mark.parametrize("name", MEASURES)
def test_the_worst_case_lies_at_the_bad_end(name: str) -> None:
    assert MEASURES[name].small_is_bad is (name in SMALL_IS_BAD)
    rest = {"motion": 1.0, "baseline_motion": 1.0}
    summary = summarise_values([rest | {name: value} for value in (3.0, 1.0, 2.0)])
    assert summary[name].worst == (1.0 if name in SMALL_IS_BAD else 3.0)
    assert summary[name].median == 2.0


@pytest.mark.parametrize("name", sorted(MEASURES.keys() - {"motion_ratio"}))
def test_the_other_rows_are_averaged(name: str) -> None:
    spread = summarise_values([{name: 1.0}, {name: 2.0}, {name: 6.0}])[name]
    assert (spread.mean, spread.std) == pytest.approx((3.0, np.std([1.0, 2.0, 6.0])))


def test_the_motion_ratio_over_cases_is_the_ratio_of_the_sums() -> None:
    """A prompt that stands still has no ratio worth averaging."""
    moving = {"motion": 0.10, "baseline_motion": 0.20, "motion_ratio": 0.5}
    still = {"motion": 0.01, "baseline_motion": 0.0001, "motion_ratio": 100.0}
    spread = summarise_values([moving, still])["motion_ratio"]
    assert spread.mean == pytest.approx(0.11 / 0.2001)
    assert spread.worst == 0.5
    nothing = {"motion": 0.0, "baseline_motion": 0.0, "motion_ratio": 1.0}
    assert summarise_values([nothing, nothing])["motion_ratio"].mean == 1.0


def test_a_summary_is_over_the_cases_that_have_the_measure() -> None:
    results = [judge(observation(METHOD, BASELINE, stride=stride), prompt="", seed=0) for stride in (4, None)]
    summary = summarise(results)
    assert summary["filled_psnr"].mean == pytest.approx(20.0) and summary["filled_psnr"].std == 0.0
    assert summarise(results[1:]).keys() == EXPECTED.keys() - PARTS


def test_every_row_says_what_it_is() -> None:
    for name, row in MEASURES.items():
        assert row.name == name and row.section in SECTIONS
        assert row.formula and len(row.label) == 2 and all(row.label)
    assert set(HEADLINES) <= MEASURES.keys()


def test_a_value_has_its_form_and_unit() -> None:
    assert MEASURES["psnr"].text(20.0) == "20.00 dB"
    assert MEASURES["speed_up"].text(1.5) == "1.50x"
    assert MEASURES["ssim"].text(0.98765) == "0.9877"


@pytest.fixture
def result() -> CaseResult:
    return judge(observation(METHOD, BASELINE, stride=4), prompt="a red circle", seed=0)


def test_the_report_has_a_line_for_every_row(result: CaseResult) -> None:
    lines = format_method("method", [result]).splitlines()
    for name, row in MEASURES.items():
        english, chinese = row.label
        heading = english if english == chinese else f"{chinese} ({english})"
        assert f"   {heading}: {row.text(result.measures[name])}" in lines
    for heading in SECTIONS.values():
        assert heading in lines


def test_a_new_row_is_measured_summarised_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Measure(
        name="brightness",
        label=("shift of the mean brightness", "平均亮度偏移"),
        formula="|mean m - mean b|",
        section="quality",
        value=lambda seen: abs(float(seen.method.mean()) - float(seen.baseline.mean())),
        small_is_bad=False,
        unit="levels",
        form=".3f",
    )
    monkeypatch.setitem(MEASURES, row.name, row)
    results = [
        judge(observation(levels(level, level), levels(0.5, 0.5)), prompt="", seed=0) for level in (0.6, 0.8, 0.5)
    ]
    assert [result.measures["brightness"] for result in results] == pytest.approx([0.1, 0.3, 0.0])
    assert results[0].as_dict()["measures"]["brightness"] == pytest.approx(0.1)
    summary = summarise(results)["brightness"]
    assert (summary.mean, summary.worst) == pytest.approx((0.4 / 3, 0.3))
    text = format_method("method", results[:1])
    assert "   平均亮度偏移 (shift of the mean brightness): 0.100 levels" in text.splitlines()
    section = text[text.index(SECTIONS["quality"]) : text.index(SECTIONS["motion"])]
    assert "平均亮度偏移" in section
    assert "0.133 levels ± 0.125, worst 0.300" in format_method("method", results)


def test_controls_are_reported_with_the_headlines(result: CaseResult) -> None:
    _, _, line = format_controls({"another seed": [result]}).splitlines()
    for name in HEADLINES:
        assert f"{MEASURES[name].label[0]} {MEASURES[name].text(result.measures[name])}" in line
