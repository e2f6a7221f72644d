"""Both continuity tools: the seeds' functions exactly, the simulated demo, runs, sweeps, comparison, refusals."""

import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import analyze_continuity_simple
import analyze_temporal_continuity
from analyze_continuity_simple import (
    analyze_latent_continuity,
    compute_cosine_similarity,
    compute_normalized_l2_distance,
)
from wan.cli.main import run
from wan.runs.debug_latents import debug_step_files

SMALL = ["--task", "t2v-demo", "--size", "32*32", "--num_frames", "17", "--num_inference_steps", "6", "--quiet"]


def refusal(
    tool: ModuleType, flags: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(sys, "argv", [tool.NAME, *flags])
    assert run_tool(tool.NAME, tool.main) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, lambda v: torch.tensor(v, dtype=torch.bfloat16)])
def test_seed_functions_by_hand(kind: object) -> None:
    assert callable(kind)
    first, second = kind([[[3.0, 4.0]]]), kind([[[6.0, 8.0]]])
    assert compute_normalized_l2_distance(first, second) == pytest.approx(5 / math.sqrt(125))
    assert compute_cosine_similarity(first, second) == pytest.approx(1.0)
    assert compute_normalized_l2_distance(first, first) == 0.0
    assert compute_cosine_similarity(first, -second) == pytest.approx(-1.0)


def test_analyze_latent_continuity_takes_frames_before_channels() -> None:
    frames = torch.zeros(3, 2, 1, 1)  # F, C, H, W
    frames[:, 0, 0, 0], frames[:, 1, 0, 0] = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 1.0])
    assert analyze_latent_continuity(frames, 0) == pytest.approx((0.5, 0.5))  # orthogonal, then equal
    batch = torch.stack([frames, torch.ones_like(frames)])
    assert analyze_latent_continuity(batch, 0) == pytest.approx((0.25, 0.75))
    with pytest.raises(ValueError, match=r"step 4: latent must be \[F, C, H, W\].*not \(2, 3\)"):
        analyze_latent_continuity(torch.zeros(2, 3), 4)
    with pytest.raises(ValueError, match="F of at least 2"):
        analyze_latent_continuity(torch.zeros(1, 2, 3, 3), 0)


def test_demo_writes_what_the_seeds_name_and_says_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    analyze_continuity_simple.main(["--demo", "--output_dir", str(tmp_path / "demo")])
    printed = capsys.readouterr().out
    assert "SIMULATED" in printed and "Early steps (1-5):" in printed and "Late steps (11-20):" in printed
    data = np.load(tmp_path / "demo" / "temporal_continuity_demo.npz")
    assert bool(data["simulated"]) and len(data["sigmas"]) == 20
    assert data["x_t_mse"][0] == pytest.approx(2.0, rel=0.05)
    # a perfect denoiser's estimate is smoothest while it knows least
    assert data["x0_normalized_l2"][0] < data["x0_normalized_l2"][-1]
    assert (tmp_path / "demo" / "temporal_continuity_demo.png").stat().st_size > 1000


@pytest.fixture(scope="module")
def baseline(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("continuity") / "continuity_analysis"
    analyze_temporal_continuity.main([*SMALL, "--model_path", str(tiny_checkpoint), "--output_dir", str(folder)])
    return folder


def test_a_run_writes_latents_figure_and_statistics(baseline: Path) -> None:
    assert len(debug_step_files(baseline / "debug_latents")) == 6
    statistics = json.loads((baseline / "continuity_statistics.json").read_text(encoding="utf-8"))
    assert statistics["shown_space"] == "x_t" and len(statistics["steps"]) == 6
    assert statistics["steps"][0]["spaces"]["x_t"]["mse"]["mean"] == pytest.approx(2.0, rel=0.15)
    assert statistics["run"]["command"].startswith("python generate.py --task t2v-demo")
    assert (baseline / "continuity_analysis.png").is_file() and (baseline / "expert_switch.png").is_file()


def test_half_frame_against_the_baseline(
    baseline: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--enable_half_frame", "--compare", str(baseline), "--output_dir", str(tmp_path / "half")]
    analyze_temporal_continuity.main([*SMALL, "--model_path", str(tiny_checkpoint), *flags])
    comparison = json.loads((tmp_path / "half" / "continuity_comparison.json").read_text(encoding="utf-8"))
    assert comparison["comparison"]["comparable"] and comparison["comparison"]["from_step"] > 1
    assert "(frame completion), the curves" in capsys.readouterr().out
    assert (tmp_path / "half" / "continuity_comparison.png").is_file()


def test_an_earlier_run_needs_no_model(baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--from_run", str(baseline), "--use_epsilon", "--output_dir", str(tmp_path / "again")]
    analyze_temporal_continuity.main(flags)
    assert "Temporal Continuity Statistics (eps)" in capsys.readouterr().out
    again, first = (
        json.loads((folder / "continuity_statistics.json").read_text(encoding="utf-8"))["steps"]
        for folder in (tmp_path / "again", baseline)
    )
    assert again == first


@pytest.mark.parametrize(
    ("flag", "values", "folders"),
    [
        ("--num_frames", ["9", "17"], ["frames_9", "frames_17"]),
        ("--num_inference_steps", ["3", "4"], ["steps_3", "steps_4"]),
    ],
)
def test_a_list_is_a_sweep(
    flag: str, values: list[str], folders: list[str], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    flags = [
        "--size",
        "32*32",
        "--task",
        "t2v-demo",
        "--model_path",
        str(tiny_checkpoint),
        "--quiet",
        "--output_dir",
        str(tmp_path / "sweep"),
    ]
    other = ["--num_inference_steps", "3"] if flag == "--num_frames" else ["--num_frames", "9"]
    analyze_temporal_continuity.main([*flags, *other, flag, *values])
    for folder in folders:
        assert (tmp_path / "sweep" / folder / "continuity_analysis.png").is_file()
    sweep = json.loads((tmp_path / "sweep" / "continuity_sweep.json").read_text(encoding="utf-8"))
    assert [name for name in sweep if name != "shown_space"] == folders
    assert (tmp_path / "sweep" / "continuity_sweep.png").is_file()


@pytest.mark.parametrize(
    ("tool", "flags", "sentence"),
    [
        (analyze_temporal_continuity, ["--use_epsilon", "--space", "x0"], "contradict each other"),
        (analyze_temporal_continuity, ["--from_run", "/nowhere"], "/nowhere has no latents of single steps"),
        (analyze_temporal_continuity, ["--compare", "/nowhere"], "/nowhere has no latents of single steps"),
        (analyze_temporal_continuity, ["--num_frames", "9", "17", "--num_inference_steps", "3", "4"], "both be lists"),
        (analyze_temporal_continuity, ["--num_inference_steps", "0"], "--sample_steps 0 must be at least 1"),
        (analyze_temporal_continuity, ["--num_frames", "many"], "invalid int value"),
        (analyze_temporal_continuity, ["--num_frames", "5", "--enable_half_frame"], "leaves 1 latent frame in some"),
        (analyze_temporal_continuity, ["--model_path", "/nowhere"], "/nowhere"),
        (analyze_temporal_continuity, ["--seed", "-1"], "--seed -1 must be 0 or more"),
        (analyze_continuity_simple, ["--correlation", "1"], "--correlation 1 must be at least 0 and below 1"),
        (analyze_continuity_simple, ["--latent_frames", "1"], "--latent_frames 1 must be at least 2"),
        (analyze_continuity_simple, ["--shift", "0"], "--shift 0 must be greater than 0"),
    ],
)
def test_refusals(
    tool: ModuleType,
    flags: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in refusal(tool, flags, monkeypatch, capsys)
    assert not list(tmp_path.iterdir())
