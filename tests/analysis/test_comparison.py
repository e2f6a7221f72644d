"""Comparisons on constructed videos: kept frames, thresholds, summaries, drift, the report's form, pictures."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wan.analysis.comparison import CaseResult, Yardsticks, finite, judge, summarise, verdicts, worst_case
from wan.analysis.comparison_plots import plot_cases, plot_contact_sheet, plot_divergence, plot_per_frame
from wan.analysis.comparison_report import format_controls, format_method
from wan.analysis.divergence import relative_difference
from wan.analysis.measures import Cost, Observation, Spread
from wan.analysis.pictures import amplified_difference, side_by_side
from wan.sampling.geometry import kept_frames, kept_pixel_frames

BASELINE_COST = Cost(
    forwards=40, token_forwards=8320, flops=2.0, inference_seconds=2.0, switch_seconds=0.1, decode_seconds=0.2
)
COST = replace(BASELINE_COST, forwards=32, flops=1.0, inference_seconds=1.0)


def video(seed: int = 0, frames: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).random((frames, 16, 16, 3), dtype=np.float32)


def case(method: np.ndarray, baseline: np.ndarray, *, seed: int = 0, stride: int | None = None) -> CaseResult:
    observation = Observation(
        method=method, baseline=baseline, cost=COST, baseline_cost=BASELINE_COST, half_frame_stride=stride
    )
    return judge(observation, prompt="a red circle", seed=seed, divergence=[0.0, 0.1, 0.2])


@pytest.mark.parametrize("pixel_frames", [5, 9, 49, 81])
def test_kept_pixel_frames_are_those_behind_kept_latent_frames(pixel_frames: int) -> None:
    latent_frames = (pixel_frames - 1) // 4 + 1
    behind = [[0], *([4 * f - 3, 4 * f - 2, 4 * f - 1, 4 * f] for f in range(1, latent_frames))]
    kept = sorted(p for f in kept_frames(latent_frames, (latent_frames + 1) // 2) for p in behind[f])
    assert np.flatnonzero(kept_pixel_frames(pixel_frames)).tolist() == kept


def test_kept_and_filled_frames_are_measured_apart() -> None:
    baseline = np.full((9, 16, 16, 3), 0.5, dtype=np.float32)
    method = baseline.copy()
    method[~np.array(kept_pixel_frames(9))] += 0.1
    values = case(method, baseline, stride=4).measures
    assert values["kept_psnr"] == math.inf and values["kept_ssim"] == pytest.approx(1.0)
    assert values["filled_psnr"] == pytest.approx(20.0, abs=1e-4) and values["filled_ssim"] < 1.0
    assert not {"kept_psnr", "kept_ssim", "filled_psnr", "filled_ssim"} & case(method, baseline).measures.keys()


def test_summary_mean_spread_worst() -> None:
    baseline = np.full((5, 16, 16, 3), 0.4, dtype=np.float64)
    results = [case(baseline + difference, baseline, seed=i) for i, difference in enumerate((0.1, 0.01))]
    summary = summarise(results)
    assert (summary["psnr"].mean, summary["psnr"].std, summary["psnr"].worst) == pytest.approx((30.0, 10.0, 20.0))
    assert (summary["mse"].mean, summary["mse"].worst) == pytest.approx((0.00505, 0.01))
    assert summary["speed_up"].mean == pytest.approx(2.0)
    assert summary["flops_fraction"].mean == pytest.approx(0.5)
    assert worst_case(results) == 0


def test_a_frozen_video_does_not_pass() -> None:
    baseline = np.clip(0.5 + 0.002 * (video() - 0.5), 0, 1)
    frozen = np.broadcast_to(baseline[:1], baseline.shape).copy()
    summary = summarise([case(frozen, baseline)])
    found = {verdict.rule: verdict.met for verdict in verdicts(summary)}
    assert found["PSNR > 35 dB"] is True
    assert found["motion within a factor of 1.5 of the baseline's"] is False


def test_a_flickering_video_does_not_pass() -> None:
    baseline = np.full((9, 16, 16, 3), 0.5) + 0.001 * np.arange(9)[:, None, None, None]
    flickering = baseline + 0.004 * (np.arange(9) % 2)[:, None, None, None]
    met = {verdict.rule: verdict.met for verdict in verdicts(summarise([case(flickering, baseline)]))}
    assert met["PSNR > 35 dB"] is True
    assert met["motion within a factor of 1.5 of the baseline's"] is False


WORDS = "the prompts mean something to the model (what it does not understand cannot be lost)"
ANOTHER_SEED = "at least 1 dB better than another seed of the same prompt (nothing in common)"
FEWER_STEPS = "better than fewer plain steps at the same cost"


def scored(psnr: float) -> dict[str, Spread]:
    """The summary of one case that has this PSNR and is otherwise perfect."""
    return {
        name: Spread(mean=value, median=value, std=0.0, worst=value)
        for name, value in (("psnr", psnr), ("ssim", 1.0), ("motion_ratio", 1.0))
    }


def test_without_controls_the_verdict_is_unknown() -> None:
    found = {verdict.rule: verdict for verdict in verdicts(scored(40.0))}
    assert WORDS not in found
    for rule in (ANOTHER_SEED, FEWER_STEPS):
        assert found[rule].met is None
        assert found[rule].measured == "not run: add --control"


def test_words_that_the_model_does_not_know_are_a_verdict_and_the_first() -> None:
    first, *_ = verdicts(scored(40.0), Yardsticks(unknown_words=("dragon", "moonlit")))
    assert (first.rule, first.met) == (WORDS, False)
    assert first.measured == "it does not know: dragon, moonlit"


@pytest.mark.parametrize(
    ("own", "other", "met"), [(20.0, 19.0, True), (20.0, 19.01, False), (18.0, 20.0, False), (math.inf, 19.0, True)]
)
def test_a_method_has_to_be_nearer_than_another_seed(own: float, other: float, met: bool) -> None:
    """By a decibel: what is no nearer has nothing in common with its baseline."""
    (verdict,) = (v for v in verdicts(scored(own), Yardsticks(other_seed=scored(other))) if v.rule == ANOTHER_SEED)
    assert verdict.met is met
    assert verdict.measured == f"{own:.2f} dB against {other:.2f} dB"


@pytest.mark.parametrize(("own", "other", "met"), [(20.01, 20.0, True), (20.0, 20.0, False), (20.0, 25.0, False)])
def test_a_method_has_to_beat_fewer_plain_steps(own: float, other: float, met: bool) -> None:
    against = Yardsticks(fewer_steps=scored(other), fewer_steps_title="16 of 20")
    (verdict,) = (v for v in verdicts(scored(own), against) if v.rule.startswith(FEWER_STEPS))
    assert verdict.rule == f"{FEWER_STEPS} (16 of 20)"
    assert verdict.met is met
    assert verdict.measured == f"{own:.2f} dB against {other:.2f} dB"


def test_the_report_prints_the_verdicts_with_their_marks() -> None:
    results = [case(video(1), video(2))]
    yardsticks = Yardsticks(
        other_seed=summarise([case(video(3), video(2))]), fewer_steps=scored(1.0), unknown_words=("dragon",)
    )
    lines = format_method("method", results, yardsticks=yardsticks).splitlines()
    (words,) = (line for line in lines if "it does not know: dragon" in line)
    (seed,) = (line for line in lines if ANOTHER_SEED in line)
    (steps,) = (line for line in lines if FEWER_STEPS in line)
    assert "❌ NOT met" in words and "❌ NOT met" in seed and "✅ met" in steps
    unknown = [line for line in format_method("method", results).splitlines() if "❓ unknown" in line]
    assert len(unknown) == 2 and all("not run: add --control" in line for line in unknown)


def test_equal_videos_have_infinite_psnr_and_strict_json() -> None:
    results = [case(video(), video())]
    assert summarise(results)["psnr"].mean == math.inf
    text = json.dumps(results[0].as_dict(), allow_nan=False)
    assert json.loads(text)["measures"]["psnr"] == "inf"
    assert finite({"a": (math.inf, 1.0)}) == {"a": ["inf", 1.0]}


def test_report_has_the_founding_form() -> None:
    report = format_method("CFG截断方法", [case(np.clip(video() + 0.01, 0, 1), video(), stride=4)])
    for part in (
        "📊 CFG截断方法 vs Baseline方法",
        "🔍 绝对误差 (Absolute Error)",
        "📏 图像质量指标",
        "平均值",
        "最大值",
        "标准差",
    ):
        assert part in report
    for part in (
        "   PSNR: ",
        "   SSIM: ",
        "   MSE: ",
        "保留帧",
        "补全帧",
        "加速比 (speed-up of pure inference): 2.00x",
        "SSIM > 0.95",
        "SSIM > 0.98",
    ):
        assert part in report
    assert "forwards: 32 / 40" in report and "cases" not in report


def test_report_says_plainly_what_is_not_met() -> None:
    report = format_method("method", [case(video(1), video(2)), case(video(3), video(4), seed=7)])
    assert report.count("NOT met") == 3  # the motion of noise is that of other noise
    assert report.count("unknown") == 2
    assert "2 cases" in report and "<- worst" in report and "±" in report
    assert "another seed" in format_controls({"another seed": [case(video(1), video(2))]})


def test_relative_difference_uses_the_frames_that_both_have() -> None:
    reference = np.random.default_rng(0).standard_normal((2, 5, 3, 3)).astype(np.float32)
    assert relative_difference(reference, reference) == 0.0
    assert relative_difference(reference[:, ::2], reference) == 0.0
    assert relative_difference(1.1 * reference, reference) == pytest.approx(0.1, rel=1e-5)


def test_side_by_side_enlarges_by_whole_factors_and_stays_even() -> None:
    left, right = video(0, frames=2), video(1, frames=2)
    panels = side_by_side({"baseline": left, "a name much too long for its panel " * 5: right})
    assert panels.shape == (2, 256 + 24, 2 * 256 + 8, 3) and panels.dtype == np.uint8
    assert np.array_equal(panels[1, 24::16, :256:16], np.rint(left[1] * 255).astype(np.uint8))
    assert np.array_equal(panels[0, 24 + 15 :: 16, 264::16], np.rint(right[0] * 255).astype(np.uint8))
    odd = side_by_side({"a": np.zeros((1, 333, 301, 3))})
    assert odd.shape[1] % 2 == 0 and odd.shape[2] % 2 == 0


def test_amplified_difference_is_black_where_equal() -> None:
    assert amplified_difference(video(), video()).max() == 0.0
    assert amplified_difference(video() * 0, np.ones_like(video())).min() == 1.0


def test_figures_are_written(tmp_path: Path) -> None:
    results = {"half_frame": [case(video(1), video(0), stride=4)], "control": [case(video(0), video(0))]}
    first = results["half_frame"][0]
    title = "提示词 with a $ and another $, 'quotes'"
    sheet = tmp_path / "sheet.png"
    plot_contact_sheet(sheet, video(1), video(0), name="m", psnrs=first.psnrs, title=title)
    plot_per_frame(tmp_path / "frames.png", first, title=title, half_frame_stride=4)
    plot_divergence(tmp_path / "drift.png", {"half_frame": [first, first]}, ["high_noise", "high_noise", "low_noise"])
    plot_cases(tmp_path / "cases.png", results, title=title)
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width > 600
    assert len(list(tmp_path.iterdir())) == 4


def test_videos_of_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        case(video(frames=5), video(frames=9))
