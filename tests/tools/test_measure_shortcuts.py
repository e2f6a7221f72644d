"""tools/measure_shortcuts.py and tools/demo_gallery.py: what they measure, draw and refuse."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import demo_gallery
import measure_shortcuts
from claims import sample
from claims.sample import demo_job
from claims.shortcut_tables import mode_table
from tests.tools.conftest import RunTool
from wan.analysis.comparison import judge
from wan.analysis.measures import Cost
from wan.configs import WAN_CONFIGS
from wan.demo_world.words import MOTIONS, held_out_by_motion, held_out_combinations
from wan.instruments.compare import observe
from wan.instruments.methods import OTHER_SEED_SHIFT, Method
from wan.job import Job, vary
from wan.sampling.guidance import Branch, ClassifierFree, ReusedDelta
from wan.sampling.plan import Plan
from wan.shortcuts import Shortcuts

CONFIG = WAN_CONFIGS["t2v-demo"]
JOB = demo_job()
ONE = held_out_by_motion(1)[:1]
COST = Cost(forwards=1, token_forwards=1, flops=1.0, inference_seconds=1.0, switch_seconds=0.0, decode_seconds=0.0)


def test_prompts_are_held_out_and_cover_every_motion() -> None:
    chosen = held_out_by_motion(2)
    assert len(set(chosen)) == len(chosen) == 2 * len(MOTIONS) == 18
    assert set(chosen) <= set(held_out_combinations())
    assert [combination.motion for combination in chosen[::2]] == list(MOTIONS)


def test_a_fading_weight_follows_the_noise_level_since_the_measurement() -> None:
    plan = vary(JOB, shortcuts=Shortcuts(cfg_truncate_steps=3, cfg_truncate_mode="reuse")).plan
    steps = measure_shortcuts.faded(plan, 2.0).steps
    measured = steps[-4]
    assert isinstance(measured.guidance, ClassifierFree) and measured == plan.steps[-4]
    for step, original in zip(steps[-3:], plan.steps[-3:], strict=True):
        assert isinstance(step.guidance, ReusedDelta) and isinstance(original.guidance, ReusedDelta)
        assert step.guidance.branch is Branch.COND
        expected = original.guidance.weight * (step.sigma / measured.sigma) ** 2
        assert step.guidance.weight == pytest.approx(expected)
    assert measure_shortcuts.faded(plan, 0.0) == plan


def work(plan: Plan) -> int:
    return sum(len(step.branches) * step.latent_frames for step in plan.steps)


@pytest.mark.parametrize("suite", sorted(measure_shortcuts.SUITES))
def test_every_suite_has_a_floor_and_saves_something_everywhere_else(suite: str) -> None:
    variants = measure_shortcuts.SUITES[suite](JOB)
    assert len({variant.name for variant in variants}) == len(variants)
    floor, *others = variants
    assert floor.plan == JOB.plan and floor.seed_shift == OTHER_SEED_SHIFT
    assert not any(variant.seed_shift for variant in others)
    assert max(work(variant.plan) for variant in others) < work(JOB.plan)


def test_scores_of_constructed_videos() -> None:
    baseline = np.full((49, 64, 64, 3), 0.5, dtype=np.float32)
    baseline[:, 20:40, 20:40] = 0.9
    method = baseline.copy()
    method[1:5] += 0.1  # latent frame 1, a filled one
    half = Method(name="half", title="half", job=vary(JOB, shortcuts=Shortcuts(frame_completion="repeat")))
    seen = observe(half, method, baseline, cost=COST, baseline_cost=COST)
    score = judge(seen, prompt="", seed=0)
    # 6 filled latent frames of 4
    assert score.measures["filled_psnr"] == pytest.approx(-10 * np.log10(0.01 * 4 / 24), abs=1e-3)
    assert score.measures["kept_psnr"] > 100
    psnr = score.measures["psnr"]
    worse = replace(score, measures=dict(score.measures) | {"psnr": psnr - 10})
    row = measure_shortcuts.scores([score, worse, score], ["still", "spinning", "still"])
    found = row["measures"]["psnr"]
    assert found["mean"] == pytest.approx(psnr - 10 / 3) and found["worst"] == pytest.approx(psnr - 10)
    assert row["psnr_by_motion"] == pytest.approx({"still": psnr, "spinning": psnr - 10})
    assert row["measures"]["kept_psnr"]["mean"] == "inf"


@pytest.fixture
def one_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sample, demo_gallery):
        monkeypatch.setattr(module, "held_out_by_motion", lambda count: ONE)


@pytest.mark.usefixtures("one_prompt")
def test_the_command_measures_prints_and_writes(
    tool: RunTool,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def small(job: Job) -> list[Method]:
        return measure_shortcuts.half_frame_suite(job)[:2]

    monkeypatch.setitem(measure_shortcuts.SUITES, "half_frame", small)
    output = tmp_path / "scores.json"
    argv = ["--suite", "half_frame", "--ckpt_dir", str(tiny_checkpoint), "--seeds", "0", "--output", str(output)]
    assert tool(measure_shortcuts, argv) == 0
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["clips"] == 1 and result["baseline"]["forwards"] == 40
    floor, half = result["variants"].values()
    flops = [row["measures"]["flops_fraction"]["mean"] for row in (floor, half)]
    assert flops[0] == 1.0 > flops[1]
    assert 0 < half["measures"]["psnr"]["mean"] < 100 and set(half["psnr_by_motion"]) == {ONE[0].motion}
    assert "kept_psnr" in half["measures"] and "kept_psnr" not in floor["measures"]
    assert "| half-frame, repeat, consecutive | 40 |" in capsys.readouterr().out
    assert tool(measure_shortcuts, argv) == 2  # the file is there


def test_the_mode_table_has_a_column_for_every_span() -> None:
    names = [variant.name for variant in measure_shortcuts.cfg_suite(JOB)]
    rows = {name: {"measures": {"psnr": {"mean": float(number), "worst": 1.0}}} for number, name in enumerate(names)}
    table = mode_table(rows)
    assert table[1] == ("| PSNR dB (worst) | CFG 5 + 3 | CFG 2 + 3 | CFG 5 + 0 | CFG 0 + 3 |")
    assert len(table) == 3 + 8 and all(line.count("|") == 6 for line in table[1:])
    assert f"| cond | {names.index('CFG 5 + 3 steps, cond'):.1f} (1.0) |" in table[4]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--per_motion", "0"], "--per_motion 0 must be at least 1"),
        (["--threads", "0"], "--threads 0 must be at least 1"),
        (["--update_docs", "--per_motion", "1"], "--update_docs with 18 clips: a table needs at least 32"),
        (["--suite", "all"], "invalid choice: 'all'"),
        (["--ckpt_dir", "nowhere"], "--ckpt_dir nowhere is not a directory"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    flags: list[str], expected: str, tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool(measure_shortcuts, flags) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and expected in captured.err and captured.err.count("\n") == 1


@pytest.mark.usefixtures("one_prompt")
def test_the_gallery_is_an_animation_with_a_cell_for_every_setting(tiny_checkpoint: Path, tmp_path: Path) -> None:
    demo_gallery.main(["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "gallery")])
    with Image.open(tmp_path / "gallery" / "demo-gallery.webp") as picture:
        assert getattr(picture, "n_frames") == CONFIG.frame_num  # noqa: B009
        assert picture.size == (128 + 100, 50 + 5 * 100)


def test_a_cell_shows_its_own_video() -> None:
    videos = {row: [np.full((2, 8, 8, 3), value, dtype=np.uint8)] for row, value in (("a", 40), ("b", 200))}
    videos["b"][0][1] = 90
    first, second = demo_gallery.compose(videos, ["column"])
    cell = (128 + 48, 50 + 48)
    assert first.getpixel(cell) == (40, 40, 40) and first.getpixel((cell[0], cell[1] + 100)) == (200, 200, 200)
    assert second.getpixel((cell[0], cell[1] + 100)) == (90, 90, 90)


def test_the_gallery_refuses_a_folder_without_a_checkpoint(tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool(demo_gallery, ["--ckpt_dir", "nowhere"]) == 2
    assert "nowhere is not a directory" in capsys.readouterr().err
