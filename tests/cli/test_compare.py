"""``wan compare`` on a tiny random checkpoint: modes, files, neutral controls, refusals, earlier runs."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Refusal
from tests.goldens import materialise
from tests.planning.calibrations import write
from wan.cli import compare as command
from wan.cli.main import run
from wan.runs.record import load_record
from wan.runs.video import read_video

TASK = ["--task", "t2v-demo"]
SMALL = [*TASK, "--size", "32*32", "--frame_num", "9", "--sample_steps", "6", "--quiet"]


def compare(*flags: str) -> None:
    command.main(list(flags))


def data(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "error_comparison.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def single(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One case with half-frame generation and all controls."""
    folder = tmp_path_factory.mktemp("single") / "comparison_outputs"
    mode = ["--comparison_mode", "half_vs_baseline", "--control", "--output_dir", str(folder)]
    compare(*SMALL, "--ckpt_dir", str(tiny_checkpoint), *mode, "--prompt", "a red circle")
    return folder


def test_a_single_case_has_the_files_of_the_founding_documents(single: Path) -> None:
    for name in ("baseline/video.mp4", "half_frame/video.mp4", "error_comparison.txt", "error_comparison.json"):
        assert (single / name).is_file()
    for name in ("side_by_side.mp4", "contact_sheet.png", "per_frame.png", "run.json", "latents.safetensors"):
        assert (single / "half_frame" / name).is_file()
    assert read_video(single / "half_frame" / "side_by_side.mp4").shape == (9, 280, 3 * 256 + 16, 3)
    assert not list(single.glob(".steps-*"))


def test_controls_calibrate(single: Path) -> None:
    sides = data(single)["sides"]
    (repeat,) = sides["control_same_seed"]["cases"]
    assert repeat["measures"]["psnr"] == "inf" and set(repeat["divergence"]) == {0.0}
    (other,) = sides["control_other_seed"]["cases"]
    assert other["measures"]["psnr"] < sides["half_frame"]["cases"][0]["measures"]["psnr"] + 30


def test_half_frame_starts_from_the_same_noise_and_is_split(single: Path) -> None:
    (half,) = data(single)["sides"]["half_frame"]["cases"]
    assert {"kept_psnr", "kept_ssim", "filled_psnr", "filled_ssim"} <= half["measures"].keys()
    assert half["divergence"][0] < 0.05  # same noise on the kept frames
    assert half["cost"]["token_forwards"] < half["baseline_cost"]["token_forwards"]


def test_every_side_is_a_run_folder_that_reproduces(single: Path, tmp_path: Path) -> None:
    record = load_record(single / "half_frame")
    assert record["status"] == "finished" and record["settings"]["frame_completion"] == "repeat"
    assert "--enable_half_frame_generation" in record["command"]
    argv = [*shlex.split(record["command"])[2:], "--output_dir", str(tmp_path), "--quiet"]
    assert run("generate", argv) == 0
    (made,) = tmp_path.iterdir()
    assert np.array_equal(read_video(made / "video.mp4"), read_video(single / "half_frame" / "video.mp4"))


def test_earlier_runs_are_compared(single: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    runs = [str(single / "baseline"), str(single / "half_frame")]
    compare("--from_runs", *runs, "--output_dir", str(tmp_path / "out"))
    text = (tmp_path / "out" / "error_comparison.txt").read_text(encoding="utf-8")
    assert text.count("not known: two runs made earlier come without controls") == 2
    found = data(tmp_path / "out")
    frames, curves = len(found["result"]["psnr_per_frame"]), found["curves"]
    assert {name: len(curves["motion"][name]) for name in ("method", "baseline")} == dict.fromkeys(
        ("method", "baseline"), frames - 1
    )
    assert np.mean(curves["motion"]["method"]) == pytest.approx(found["result"]["measures"]["motion"])
    assert 0 < max(curves["continuity"]["baseline"]) < 1.5
    assert [one["met"] for one in found["verdicts"]].count(None) == 2 and found["notices"] == []
    measured = found["result"]["measures"]["psnr"]
    assert measured == pytest.approx(data(single)["sides"]["half_frame"]["cases"][0]["measures"]["psnr"], abs=1e-4)


def test_several_cases_and_two_methods(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# two prompts\na red circle\n\na blue square\n", encoding="utf-8")
    flags = ["--comparison_mode", "cfg_vs_half", "--prompt_file", str(prompts), "--seed", "1", "2"]
    where = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "out")]
    compare(*SMALL, *flags, *where, "--cfg_truncate_steps", "1")
    sides = data(tmp_path / "out")["sides"]
    assert {name: len(side.get("cases", [])) for name, side in sides.items()} == {
        "baseline": 0,
        "cfg_truncated": 4,
        "half_frame": 4,
        "control_same_seed": 4,
        "control_other_seed": 4,
    }
    assert [(c["prompt"], c["seed"]) for c in sides["half_frame"]["cases"]] == [
        ("a red circle", 1),
        ("a red circle", 2),
        ("a blue square", 1),
        ("a blue square", 2),
    ]
    assert (tmp_path / "out" / "half_frame" / "case_04" / "video.mp4").is_file()
    assert "4 cases" in capsys.readouterr().out


def test_results_are_never_written_over_unasked(single: Path, tiny_checkpoint: Path) -> None:
    before = (single / "error_comparison.json").read_bytes()
    flags = [*SMALL, "--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(single)]
    compare(*flags, "--control")
    assert (single / "error_comparison.json").read_bytes() == before
    sides = data(single.with_name("comparison_outputs-2"))["sides"]
    fewer = next(name for name in sides if name.endswith("_steps"))
    assert sides[fewer]["steps"] < 6 and sides[fewer]["cases"][0]["divergence"] == []


WORDS = "the prompts mean something to the model"
ANOTHER_SEED = "at least 1 dB better than another seed of the same prompt"
FEWER_STEPS = "better than fewer plain steps at the same cost"


def verdict(folder: Path, method: str, rule: str) -> dict[str, Any]:
    """The verdict of a method whose rule begins so."""
    (found,) = (v for v in data(folder)["sides"][method]["verdicts"] if v["rule"].startswith(rule))
    return found


def mean_psnr(folder: Path, method: str) -> float:
    return float(data(folder)["sides"][method]["summary"]["psnr"]["mean"])


def test_the_verdicts_hold_a_method_against_its_controls(single: Path) -> None:
    own, other = mean_psnr(single, "half_frame"), mean_psnr(single, "control_other_seed")
    found = verdict(single, "half_frame", ANOTHER_SEED)
    assert found["met"] is (own >= other + 1.0)
    assert found["measured"] == f"{own:.2f} dB against {other:.2f} dB"
    assert not [v for v in data(single)["sides"]["half_frame"]["verdicts"] if v["rule"].startswith(WORDS)]
    assert f"{found['rule']}: {found['measured']}" in (single / "error_comparison.txt").read_text(encoding="utf-8")
    assert "verdicts" not in data(single)["sides"]["control_other_seed"]


@pytest.fixture(scope="module")
def truncated(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CFG truncation 5 + 3 of six steps, with a word that the model does not know; --control is not given."""
    folder = tmp_path_factory.mktemp("truncated") / "out"
    where = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(folder)]
    compare(*SMALL, *where, "--prompt", "a red dragon", "a moonlit dragon")
    return folder


def test_on_the_demo_model_the_controls_always_run(truncated: Path) -> None:
    controls = [name for name, side in data(truncated)["sides"].items() if side["is_control"]]
    assert controls == ["control_same_seed", "control_other_seed", "control_4_steps"]
    assert "🧪 对照 (controls)" in (truncated / "error_comparison.txt").read_text(encoding="utf-8")


def test_fewer_plain_steps_are_the_other_way_to_save(truncated: Path) -> None:
    own, other = mean_psnr(truncated, "cfg_truncated"), mean_psnr(truncated, "control_4_steps")
    found = verdict(truncated, "cfg_truncated", FEWER_STEPS)
    assert found["rule"] == f"{FEWER_STEPS} (4 of 6)"
    assert found["met"] is (own > other)
    assert found["measured"] == f"{own:.2f} dB against {other:.2f} dB"


def test_words_that_the_model_does_not_know_are_a_verdict(truncated: Path) -> None:
    assert data(truncated)["unknown_words"] == ["dragon", "moonlit"]
    found = verdict(truncated, "cfg_truncated", WORDS)
    assert (found["met"], found["measured"]) == (False, "it does not know: dragon, moonlit")
    assert "it does not know: dragon, moonlit" in (truncated / "error_comparison.txt").read_text(encoding="utf-8")


def test_a_method_that_saves_less_than_a_step_has_no_cheaper_run_to_beat(tiny_checkpoint: Path, tmp_path: Path) -> None:
    where = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "out")]
    compare(*SMALL, *where, "--prompt", "a red circle", "--cfg_truncate_steps", "1")
    found = verdict(tmp_path / "out", "cfg_truncated", FEWER_STEPS)
    assert (found["met"], found["measured"]) == (None, "not run: the method saves less than one step")
    assert verdict(tmp_path / "out", "cfg_truncated", ANOTHER_SEED)["met"] is not None


@pytest.mark.parametrize("asked", [False, True])
def test_a_large_model_runs_its_controls_when_asked(asked: bool, tmp_path: Path) -> None:
    checkpoint, folder = materialise("t2v_A14B_unipc", tmp_path / "ckpt"), tmp_path / "out"
    small = ["--task", "t2v-A14B", "--size", "64*32", "--frame_num", "5", "--sample_steps", "4", "--dtype", "float32"]
    where = ["--device", "cpu", "--ckpt_dir", str(checkpoint), "--output_dir", str(folder), "--quiet"]
    compare(
        *small, *where, "--prompt", "a cat", "--cfg_truncate_high_noise_steps", "2", *(["--control"] if asked else [])
    )
    controls = [name for name, side in data(folder)["sides"].items() if side["is_control"]]
    assert controls == (["control_same_seed", "control_other_seed", "control_3_steps"] if asked else [])
    for rule in (ANOTHER_SEED, FEWER_STEPS):
        found = verdict(folder, "cfg_truncated", rule)
        assert (found["met"] is None) is not asked
        assert (found["measured"] == "not run: add --control") is not asked


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--comparison_mode", "half_vs_baseline", "--cfg_truncate_steps", "3"], "--cfg_truncate_steps has no effect"),
        (["--comparison_mode", "custom"], "--comparison_mode custom needs a shortcut"),
        (["--comparison_mode", "nonsense"], "invalid choice"),
        (
            ["--cache", "sea"],
            "--cache has no effect in --comparison_mode cfg_vs_baseline; leave it out, or use cache_vs",
        ),
        (["--comparison_mode", "cache_vs_baseline"], "--comparison_mode cache_vs_baseline needs a cache to compare"),
        (
            ["--comparison_mode", "custom", "--cache_threshold", "0"],
            "--cache_threshold has no effect with --cache none",
        ),
        (["--comparison_mode", "budget_vs_baseline"], "budget_vs_baseline needs a budget to compare; give for example"),
        (
            ["--budget", "0.5"],
            "--budget has no effect in --comparison_mode cfg_vs_baseline; leave it out, or use budget_vs",
        ),
        (["--restart_at_switch"], "--restart_at_switch has no effect in --comparison_mode cfg_vs_baseline; leave"),
        (
            ["--comparison_mode", "custom", "--budget", "0.5", "--cache", "sea"],
            "--budget 0.5 chooses the shortcuts itself",
        ),
        (["--prompt_file", "/nowhere/prompts.txt"], "--prompt_file /nowhere/prompts.txt cannot be read"),
        (["--seed", "-1"], "--seed -1 must be 0 or more"),
        (["--task", "ti2v-5B", "--comparison_mode", "half_vs_baseline"], "needs a model with two experts"),
        (["--ckpt_dir", "/nowhere"], "--ckpt_dir /nowhere"),
        (["--frame_num", "0"], "--frame_num 0"),
        (["--from_runs", "/nowhere/a", "/nowhere/b"], "/nowhere/a is not a run folder"),
        (["--from_runs", "/nowhere/a", "/nowhere/b", "--control"], "--from_runs runs nothing, and --control runs more"),
    ],
)
def test_refusals(flags: list[str], sentence: str, refusal: Refusal) -> None:
    assert sentence in refusal("compare", flags)


def test_defaults_follow_the_founding_documents(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(*TASK, "--ckpt_dir", str(tiny_checkpoint), "--comparison_mode", "combined_vs_baseline", "--dry_run")
    printed = capsys.readouterr().out
    assert "--cfg_truncate_steps 5 --cfg_truncate_high_noise_steps 3" in printed
    assert "7 -> 13 latent frames (improved)" in printed


def test_a_completion_and_positions_by_name_are_shown_by_the_command_that_reproduces(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    flags = ["--comparison_mode", "combined_vs_baseline", "--frame_completion", "interpolate"]
    where = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "out")]
    compare(*SMALL, *flags, "--frame_positions", "spread", *where)
    record = load_record(tmp_path / "out" / "combined")
    assert record["plan"]["steps"][0]["position_stride"] == 2
    assert "--frame_completion interpolate --frame_positions spread" in record["command"]


def test_a_cache_is_compared_by_what_it_executed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    mode = ["--comparison_mode", "cache_vs_baseline", "--cache", "sea", "--cache_threshold", "99"]
    compare(*SMALL, "--ckpt_dir", str(tiny_checkpoint), *mode, "--output_dir", str(folder))
    (case,) = data(folder)["sides"]["cached"]["cases"]
    assert case["cost"]["forwards"] == 2 * 4 and case["baseline_cost"]["forwards"] == 12
    assert case["cost"]["flops"] < case["baseline_cost"]["flops"]
    record = load_record(folder / "cached")
    forwards = record["forwards"]
    assert (forwards["planned"], forwards["executed"], forwards["planned_is_upper_bound"]) == (12, 8, True)
    assert forwards["executed_flops"] == case["cost"]["flops"]
    assert "--cache sea --cache_threshold 99" in record["command"]
    earlier = tmp_path / "earlier"
    compare("--from_runs", str(folder / "baseline"), str(folder / "cached"), "--output_dir", str(earlier))
    assert data(earlier)["result"]["cost"]["flops"] == case["cost"]["flops"]


@pytest.mark.parametrize(("mode", "method"), [("budget_vs_baseline", "budget"), ("custom", "custom")])
def test_a_budget_is_compared_with_fewer_steps_of_its_cost(
    mode: str, method: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans, folder = write(tmp_path / "plans.json", 0.25, 0.5), tmp_path / "out"
    flags = ["--comparison_mode", mode, "--plan", str(plans), "--budget", "0.25", "--sample_steps", "20", "--control"]
    compare(*SMALL, "--ckpt_dir", str(tiny_checkpoint), *flags, "--output_dir", str(folder))
    assert "was made for another checkpoint" in capsys.readouterr().out
    sides = data(folder)["sides"]
    (case,) = sides[method]["cases"]
    assert (case["cost"]["forwards"], case["baseline_cost"]["forwards"]) == (10, 40)
    assert "control_5_steps" in sides
    assert "--budget 0.25" in load_record(folder / method)["command"]
    assert "--budget" not in load_record(folder / "baseline")["command"]
