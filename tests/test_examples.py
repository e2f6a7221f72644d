"""The examples do what they say: one function equals the package, one loaded pipeline serves request after request."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanPipeline

from examples import one_file, serve
from wan.errors import InvalidInput
from wan.runs.video import read_video

PROMPT = "a yellow square bouncing on a purple background"
TOLERANCE = 1e-5

SHORTCUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cfg truncation": {"truncate": (5, 3)},
    "cfg truncation of a whole expert": {"truncate": (9, 0)},
    "half-frame, interpolate": {"half_frame": "interpolate"},
    "half-frame, repeat": {"half_frame": "repeat"},
    "both": {"truncate": (5, 3), "half_frame": "interpolate"},
}


@pytest.fixture(scope="module")
def latents() -> dict[str, torch.Tensor]:
    """What the one function makes with each of the shortcuts."""
    demo = one_file.inputs(WanPipeline.from_pretrained(one_file.CHECKPOINT), PROMPT, seed=3)
    return {name: one_file.sample(*demo, **shortcuts) for name, shortcuts in SHORTCUTS.items()}


@pytest.mark.parametrize("name", SHORTCUTS)
def test_one_function_equals_the_package(latents: dict[str, torch.Tensor], name: str) -> None:
    expected = one_file.package_latents(PROMPT, seed=3, **SHORTCUTS[name])
    assert latents[name].shape == expected.shape == (1, *one_file.NOISE_SHAPE)
    assert 0.5 < expected.std() < 2  # so that an absolute tolerance means something
    assert (latents[name] - expected).abs().max() <= TOLERANCE


def test_every_shortcut_of_the_one_function_makes_other_latents(latents: dict[str, torch.Tensor]) -> None:
    made = list(latents.values())
    for index, one in enumerate(made):
        assert all((one - other).abs().max() > 0.05 for other in made[:index])


def test_one_file_runs_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one_file.main()
    assert read_video(tmp_path / "outputs" / "one_file.mp4").shape == (49, 64, 64, 3)
    assert float(capsys.readouterr().out.split()[-1]) <= TOLERANCE


def test_serve_writes_a_video_for_every_request_that_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    serve.main()
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == [
        "serve_0.mp4",
        "serve_1.mp4",
        "serve_3.mp4",
    ]
    assert "request 2 is refused: --frame_completion interpolate needs" in capsys.readouterr().out


def test_a_served_request_reads_no_weights_and_is_what_a_fresh_pipeline_makes(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    small = {"frame_num": 9, "sampling_steps": 4}
    wanted = small | {"cfg_truncate_steps": 1, "enable_half_frame_generation": True}
    steps: list[int] = []

    def ask(studio: serve.Studio, options: dict[str, Any]) -> torch.Tensor:
        return studio.make("a red circle", seed=1, tell=steps.append, options=options)

    studio = serve.Studio(checkpoint_dir=str(folder))
    plain = ask(studio, small)
    shutil.rmtree(folder)  # from here on there is nothing to read
    with pytest.raises(InvalidInput):
        ask(studio, small | {"frame_completion": "improved"})
    served = ask(studio, wanted)
    assert steps == [1, 2, 3, 4] * 2
    assert torch.equal(served, ask(serve.Studio(checkpoint_dir=str(tiny_checkpoint)), wanted))
    assert not torch.equal(served, plain)
    assert torch.equal(ask(studio, small), plain)
