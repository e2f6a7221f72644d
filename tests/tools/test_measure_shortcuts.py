"""tools/measure_shortcuts.py and tools/demo_gallery.py: what they measure, draw and refuse."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import demo_gallery
import measure_shortcuts
from claims.shortcut_tables import mode_table
from demo_model.words import MOTIONS, held_out_by_motion, held_out_combinations
from wan.configs import WAN_CONFIGS, parse_size
from wan.cli.main import run
from wan.sampling.geometry import geometry_for
from wan.sampling.guidance import Branch, ClassifierFree, ReusedDelta
from wan.sampling.policies import make_plan
from wan.settings import default_settings

CONFIG = WAN_CONFIGS["t2v-demo"]
SETTINGS = default_settings(CONFIG)
GEOMETRY = geometry_for(CONFIG, size=parse_size(CONFIG.default_size), frame_num=CONFIG.frame_num)
ONE = held_out_by_motion(1)[:1]


def test_prompts_are_held_out_and_cover_every_motion() -> None:
    chosen = held_out_by_motion(2)
    assert len(set(chosen)) == len(chosen) == 2 * len(MOTIONS) == 18
    assert set(chosen) <= set(held_out_combinations())
    assert [combination.motion for combination in chosen[::2]] == list(MOTIONS)


def test_a_fading_weight_follows_the_noise_level_since_the_measurement() -> None:
    settings = replace(SETTINGS, cfg_truncate_steps=3, cfg_truncate_mode="reuse")
    plan = make_plan(settings, GEOMETRY)
    steps = measure_shortcuts.faded(plan, 2.0).steps
    measured = steps[-4]
    assert isinstance(measured.guidance, ClassifierFree) and measured == plan.steps[-4]
    for step, original in zip(steps[-3:], plan.steps[-3:], strict=True):
        assert isinstance(step.guidance, ReusedDelta) and isinstance(original.guidance, ReusedDelta)
        assert step.guidance.branch is Branch.COND
        expected = original.guidance.weight * (step.sigma / measured.sigma) ** 2
        assert step.guidance.weight == pytest.approx(expected)
    assert measure_shortcuts.faded(plan, 0.0) == plan


@pytest.mark.parametrize("suite", sorted(measure_shortcuts.SUITES))
def test_every_suite_has_a_floor_and_saves_something_everywhere_else(suite: str) -> None:
    variants = measure_shortcuts.SUITES[suite](SETTINGS, GEOMETRY)
    assert len({variant.name for variant in variants}) == len(variants)
    floor, *others = variants
    plain = make_plan(SETTINGS, GEOMETRY)
    assert floor.plan == plain and floor.seed_shift and not any(variant.seed_shift for variant in others)
    work = [sum(len(step.branches) * step.latent_frames for step in variant.plan.steps) for variant in others]
    assert max(work) < sum(len(step.branches) * step.latent_frames for step in plain.steps)


def test_scores_of_constructed_videos() -> None:
    baseline = np.full((49, 64, 64, 3), 0.5, dtype=np.float32)
    baseline[:, 20:40, 20:40] = 0.9
    method = baseline.copy()
    method[1:5] += 0.1  # latent frame 1, a filled one
    clip = measure_shortcuts.Clip(combination=ONE[0], seed=0, baseline=baseline)
    score = measure_shortcuts.score(method, clip)
    assert score.psnr_filled == pytest.approx(-10 * np.log10(0.01 * 4 / 24), abs=1e-3)  # 6 filled latent frames of 4
    assert score.psnr_kept > 100
    row = measure_shortcuts.summarise([score, replace(score, psnr=score.psnr - 10)])
    assert row["psnr"] == pytest.approx(score.psnr - 5) and row["psnr_worst"] == pytest.approx(score.psnr - 10)


@pytest.fixture
def one_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (measure_shortcuts, demo_gallery):
        monkeypatch.setattr(module, "held_out_by_motion", lambda count: ONE)


@pytest.mark.usefixtures("one_prompt")
def test_the_command_measures_prints_and_writes(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def small(settings: Any, geometry: Any) -> list[measure_shortcuts.Variant]:
        return measure_shortcuts.half_frame_suite(settings, geometry)[:2]

    monkeypatch.setitem(measure_shortcuts.SUITES, "half_frame", small)
    output = tmp_path / "scores.json"
    argv = ["--suite", "half_frame", "--ckpt_dir", str(tiny_checkpoint), "--output", str(output)]
    assert measure_shortcuts.main(argv) == 0
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["clips"] == 1 and result["baseline"]["forwards"] == 40
    floor, half = result["variants"].values()
    assert floor["flops_fraction"] == 1.0 > half["flops_fraction"]
    assert 0 < half["psnr"] < 100 and set(half["psnr_by_motion"]) == {ONE[0].motion}
    assert "| half-frame, repeat, consecutive | 40 |" in capsys.readouterr().out
    assert measure_shortcuts.main(argv) == 2  # the file is there


def test_the_mode_table_has_a_column_for_every_span() -> None:
    names = [variant.name for variant in measure_shortcuts.cfg_suite(SETTINGS, GEOMETRY)]
    rows = {name: {"psnr": float(number), "psnr_worst": 1.0} for number, name in enumerate(names)}
    table = mode_table(rows)
    assert table[1] == ("| PSNR dB (worst) | CFG 5 + 3 | CFG 2 + 3 | CFG 5 + 0 | CFG 0 + 3 |")
    assert len(table) == 3 + 8 and all(line.count("|") == 6 for line in table[1:])
    assert f"| cond | {names.index('CFG 5 + 3 steps, cond'):.1f} (1.0) |" in table[4]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--per_motion", "0"], "--per_motion 0 must be at least 1"),
        (["--threads", "0"], "--threads 0 must be at least 1"),
        (["--update_docs", "--per_motion", "1"], "--update_docs with 9 clips: a table needs at least 32"),
        (["--suite", "all"], "invalid choice: 'all'"),
        (["--ckpt_dir", "nowhere"], "--ckpt_dir nowhere is not a directory"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure_shortcuts.main(flags) == 2
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


def test_the_gallery_refuses_a_folder_without_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["demo_gallery.py", "--ckpt_dir", "nowhere"])
    assert run_tool("demo_gallery.py", demo_gallery.main) == 2
    assert "nowhere is not a directory" in capsys.readouterr().err
