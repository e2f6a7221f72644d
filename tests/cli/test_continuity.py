"""``wan continuity``: runs, sweeps, images, comparison, earlier runs, refusals."""

import json
import shlex
from pathlib import Path

import pytest
import torch

import wan
from tests.cli.conftest import Refusal
from tests.goldens import input_image, materialise, recorded
from wan.cli import continuity
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.request import parse_request
from wan.runs.debug_latents import debug_step_files, iterate_debug_steps
from wan.sampling.geometry import Geometry

SMALL = ["--task", "t2v-demo", "--size", "32*32", "--num_frames", "17", "--num_inference_steps", "6", "--quiet"]


@pytest.fixture(scope="module")
def baseline(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("continuity") / "continuity_analysis"
    continuity.main([*SMALL, "--model_path", str(tiny_checkpoint), "--output_dir", str(folder)])
    return folder


def test_a_run_writes_latents_figure_and_statistics(baseline: Path) -> None:
    assert len(debug_step_files(baseline / "debug_latents")) == 6
    statistics = json.loads((baseline / "continuity_statistics.json").read_text(encoding="utf-8"))
    assert statistics["shown_space"] == "x_t" and len(statistics["steps"]) == 6
    assert statistics["steps"][0]["spaces"]["x_t"]["mse"]["mean"] == pytest.approx(2.0, rel=0.15)
    assert statistics["run"]["command"].startswith(f"python {SOURCE_DIR}/generate.py --task t2v-demo")
    assert (baseline / "continuity_analysis.png").is_file() and (baseline / "expert_switch.png").is_file()


def recorded_flags(folder: Path) -> list[str]:
    """The flags of the command that a study's statistics name."""
    command = json.loads((folder / "continuity_statistics.json").read_text(encoding="utf-8"))["run"]["command"]
    program, script, *argv = shlex.split(command)
    assert (program, script) == ("python", str(SOURCE_DIR / "generate.py"))
    return argv


def test_the_recorded_command_makes_the_same_latents_of_every_step(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = recorded_flags(baseline)
    assert "--enable_debug" in argv and parse_request(argv).enable_debug
    monkeypatch.chdir(tmp_path)
    assert run("generate", [*argv, "--quiet"]) == 0
    again = iterate_debug_steps(tmp_path / "outputs" / "debug_outputs" / "debug_latents")
    for step, first in zip(again, iterate_debug_steps(baseline / "debug_latents"), strict=True):
        assert step.step == first.step and torch.equal(step.x_t, first.x_t)
        assert torch.equal(step.velocity, first.velocity)


def test_half_frame_against_the_baseline(
    baseline: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--enable_half_frame", "--compare", str(baseline), "--output_dir", str(tmp_path / "half")]
    continuity.main([*SMALL, "--model_path", str(tiny_checkpoint), *flags])
    comparison = json.loads((tmp_path / "half" / "continuity_comparison.json").read_text(encoding="utf-8"))
    assert comparison["comparison"]["comparable"] and comparison["comparison"]["from_step"] > 1
    assert "(frame completion), the curves" in capsys.readouterr().out
    assert (tmp_path / "half" / "continuity_comparison.png").is_file()


def test_an_earlier_run_needs_no_model(baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--from_run", str(baseline), "--use_epsilon", "--output_dir", str(tmp_path / "again")]
    continuity.main(flags)
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
    continuity.main([*flags, *other, flag, *values])
    for folder in folders:
        assert (tmp_path / "sweep" / folder / "continuity_analysis.png").is_file()
    sweep = json.loads((tmp_path / "sweep" / "continuity_sweep.json").read_text(encoding="utf-8"))
    assert [name for name in sweep if name != "shown_space"] == folders
    assert (tmp_path / "sweep" / "continuity_sweep.png").is_file()


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags of the recorded official image-to-video model, in its own tiny size, with its image."""
    folder = tmp_path_factory.mktemp("image")
    input_image().save(folder / "input.png")
    model = ["--task", "i2v-A14B", "--ckpt_dir", str(materialise("i2v_A14B_unipc", folder / "ckpt"))]
    small = ["--size", "64*48", "--dtype", "float32", "--device", "cpu", "--quiet"]
    return [*model, "--image", str(folder / "input.png"), *small, "--prompt", recorded("i2v_A14B_unipc")["prompt"]]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Geometry]:
    """The shapes that the image was encoded for, in turn."""
    shapes: list[Geometry] = []
    condition = wan.WanI2V.condition

    def counted(self: wan.WanI2V, image: object, geometry: Geometry) -> object:
        shapes.append(geometry)
        return condition(self, image, geometry)  # type: ignore[arg-type]

    monkeypatch.setattr(wan.WanI2V, "condition", counted)
    return shapes


@pytest.mark.parametrize("frames", [["9", "17"], ["17", "9"]])
def test_an_image_is_encoded_once_for_every_shape_of_a_sweep(
    frames: list[str], image_model: list[str], encoded: list[Geometry], tmp_path: Path
) -> None:
    """Whichever comes first: the latents of the other shape have another number of frames."""
    steps = ["--num_inference_steps", "3"]
    flags = [*image_model, *steps, "--num_frames", *frames, "--output_dir", str(tmp_path / "out")]
    assert run("continuity", flags) == 0
    assert [geometry.pixel_frames for geometry in encoded] == [int(count) for count in frames]
    for count, latent_frames in (("9", 3), ("17", 5)):
        folder = tmp_path / "out" / f"frames_{count}"
        shapes = [tuple(step.x_t.shape) for step in iterate_debug_steps(folder / "debug_latents")]
        assert shapes == [(16, latent_frames, 4, 8)] * 3
        assert "--image" in recorded_flags(folder) and "--enable_debug" in recorded_flags(folder)
    assert (tmp_path / "out" / "continuity_sweep.png").is_file()


def test_a_sweep_over_steps_encodes_its_image_once(
    image_model: list[str], encoded: list[Geometry], tmp_path: Path
) -> None:
    steps = ["--num_inference_steps", "2", "3"]
    assert run("continuity", [*image_model, *steps, "--num_frames", "9", "--output_dir", str(tmp_path / "out")]) == 0
    assert len(encoded) == 1


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--use_epsilon", "--space", "x0"], "contradict each other"),
        (["--from_run", "/nowhere"], "/nowhere has no latents of single steps"),
        (["--compare", "/nowhere"], "/nowhere has no latents of single steps"),
        (["--num_frames", "9", "17", "--num_inference_steps", "3", "4"], "both be lists"),
        (["--num_inference_steps", "0"], "--sample_steps 0 must be at least 1"),
        (["--num_frames", "many"], "invalid int value"),
        (["--num_frames", "5", "--enable_half_frame"], "leaves 1 latent frame in some"),
        (["--model_path", "/nowhere"], "/nowhere"),
        (["--seed", "-1"], "--seed -1 must be 0 or more"),
    ],
)
def test_refusals(flags: list[str], sentence: str, refusal: Refusal) -> None:
    assert sentence in refusal("continuity", flags)
