"""``wan bench``: a checkpoint against diffusers, real sizes with random weights, extrapolation, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.goldens import materialise
from tests.planning.calibrations import write
from wan.cli import main as command
from wan.instruments.bench.variants import PLAIN
from wan.models import engine

SMALL = ["--size", "32*32", "--frame_num", "9", "--sample_steps", "6", "--repeats", "1"]
RANDOM = ["--random_weights", "--task", "t2v-demo", "--layers", "1", *SMALL]
TWO_EXPERT_VARIANTS = [PLAIN, "CFG truncation 5 + 3", "half-frame", "half-frame + CFG truncation 5 + 3"]


def run(*flags: str, output: Path) -> dict[str, Any]:
    assert command.run("bench", [*flags, "--output", str(output)]) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def test_a_checkpoint_is_timed_beside_diffusers_and_makes_the_same_latents(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run("--task", "t2v-demo", "--ckpt_dir", str(tiny_checkpoint), *SMALL, output=tmp_path / "result.json")
    assert list(result["variants"]) == [*TWO_EXPERT_VARIANTS, "diffusers WanPipeline"]
    assert result["largest_difference_from_diffusers"] < 1e-4
    rows = result["variants"]
    assert [row["forwards"] for row in rows.values()] == [12, 7, 12, 7, 12]
    assert rows[PLAIN]["estimated_fraction"] == rows[PLAIN]["measured_fraction"] == 1.0
    out = capsys.readouterr().out
    assert "| variant | forwards | PFLOP | s | s per step |" in out
    assert "plain plan against WanPipeline" in out


def test_a_folder_without_a_task_says_what_it_serves(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run("--ckpt_dir", str(tiny_checkpoint), *SMALL, output=tmp_path / "result.json")
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"no --task given: {tiny_checkpoint} serves {result['task']}"
    assert "--prompt" not in "".join(rest)


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


def test_engines_are_timed_on_the_same_plan(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "why_not_compile", lambda device: "no compiler")
    flags = ["--task", "t2v-demo", "--ckpt_dir", str(tiny_checkpoint), *SMALL, "--engine"]
    result = run(*flags, output=tmp_path / "result.json")
    names = [PLAIN, "without kept keys", "nothing kept", "batched CFG"]
    assert list(result["variants"]) == [*names, "diffusers WanPipeline"]
    differences = result["largest_difference_from_plain"]
    assert differences["without kept keys"] == differences["nothing kept"] == 0.0
    assert differences["batched CFG"] < 1e-4
    assert "Nothing is compiled: no compiler." in capsys.readouterr().out


def test_variants_are_flags(tmp_path: Path) -> None:
    flags = ["--variant", "--sample_steps 3", "--variant", "--cfg_truncate_steps 1", "--steps_per_stage", "2"]
    result = run(*RANDOM, *flags, output=tmp_path / "result.json")
    assert [row["forwards"] for row in result["variants"].values()] == [12, 6, 11]


def test_a_budget_is_a_variant(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plans = write(tmp_path / "plans.json", 0.25)
    budget = f"--budget 0.25 --plan {plans}"
    small = [*SMALL, "--sample_steps", "20", "--variant", budget, "--variant", "--budget 0.6"]
    result = run("--task", "t2v-demo", "--ckpt_dir", str(tiny_checkpoint), *small, output=tmp_path / "result.json")
    rows = result["variants"]
    assert (rows[PLAIN]["forwards"], rows[budget]["forwards"]) == (40, 10)
    assert rows[budget]["estimated_fraction"] == 0.25 and rows["--budget 0.6"]["estimated_fraction"] <= 0.6
    notes = capsys.readouterr().out
    assert f"{budget}: {plans} was made for another checkpoint" in notes
    assert "--budget 0.6: not calibrated on this checkpoint" in notes


def test_steps_of_a_fitted_plan_are_timed_by_themselves(tmp_path: Path) -> None:
    plans = write(tmp_path / "plans.json", 0.5)
    flags = ["--sample_steps", "20", "--steps_per_stage", "1", "--variant", f"--plan {plans}"]
    rows = run(*RANDOM, *flags, output=tmp_path / "result.json")["variants"]
    assert [row["forwards"] for row in rows.values()] == [40, 20]


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
        (["--variant", "--sample_steps x"], "invalid int value: 'x'"),
        (["--variant", "--size 32*32"], "changes size, which all variants share; give --size to the command itself"),
        (["--variant", "--budget 7"], "--budget 7 must be above 0 and at most 1"),
        (
            ["--random_weights", "--steps_per_stage", "2", "--variant", "--cache mag"],
            "the plan of '--cache mag' has a cache, whose steps need those before them; leave --steps_per_stage out",
        ),
        (["--engine", "--variant", "--sample_steps 4"], "--engine names its variants itself"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run("bench", flags) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err and captured.err.count("\n") == 1
    assert captured.err.startswith("benchmark.py: ")
