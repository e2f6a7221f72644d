"""The calibration of MagCache: what it writes is what --cache mag reads, and it measures on training prompts alone."""

import shutil
from pathlib import Path

import pytest

import calibrate_magcache as tool
from claims.sample import sample_clips
from wan.errors import InvalidInput
from wan.sampling import mag_curves
from wan.sampling.mag_curves import CURVES_FILE, load_curves


def test_the_curve_is_read_back_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, prompts = tmp_path / "ratios.json", tmp_path / "prompts.txt"
    shutil.copy(CURVES_FILE, output)
    prompts.write_text("a red circle moving right on a blue background\n", encoding="utf-8")
    published = load_curves()
    tool.main(["--prompt_file", str(prompts), "--frame_num", "5", "--retention", "0.3", "--output", str(output)])
    monkeypatch.setattr(mag_curves, "CURVES_FILE", output)
    measured = load_curves()
    assert {name for name in published if measured[name] != published[name]} == {"t2v-demo"}
    curve = measured["t2v-demo"]
    assert (curve.steps, curve.shift, curve.high_noise_steps, curve.retention) == (20, 12.0, 13, 0.3)
    # the first step of a stage has none before it
    assert curve.cond[0] == curve.uncond[0] == curve.cond[13] == 1.0
    assert all(0.5 < ratio < 1.5 for ratio in (*curve.cond, *curve.uncond))


def test_calibration_sees_no_clip_that_is_reported_on() -> None:
    prompts = tool.prompts_of(tool.build_parser().parse_args([]))
    assert len(set(prompts)) == 36
    assert not set(prompts) & {clip.case.prompt for clip in sample_clips(4, (0,))}


def test_refusals() -> None:
    with pytest.raises(InvalidInput, match="--task t2v-A14B needs --prompt_file"):
        tool.prompts_of(tool.build_parser().parse_args(["--task", "t2v-A14B"]))
    with pytest.raises(InvalidInput, match="--retention 2 must be from 0 to 1"):
        tool.main(["--retention", "2"])
