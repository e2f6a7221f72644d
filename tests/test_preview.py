"""The preview while sampling: right colours and times, no number changed, never in the way, gone when the video is."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fit_preview
from tests.cli.conftest import Refusal, refusal
from tests.test_resume import SHORT, Stopped, latents, made, resumed, stopped
from tests.toy import GEOMETRY, run_toy, toy_contexts, toy_noise, toy_plan
from wan import preview as preview_module
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.instruments.arena.suite import _FIXED
from wan.preview import Preview, frame_milliseconds, preview_frames
from wan.preview_colours import PreviewColours, preview_colours
from wan.request import parse_request
from wan.runs.folders import PREVIEW_NAME
from wan.runs.preview_file import write_preview
from wan.sampling.observers import Observer, StepEvent

__all__ = ["refusal"]

RED_IS_FIRST = PreviewColours(
    weights=((0.5, 0, 0, 0), (0, 0.25, 0, 0), (0, 0, -1.0, 0)), bias=(0.0, 0.5, 0.0), source="made up"
)
HALF = {"frame_completion": "interpolate"}


class AtOnce:
    """A thread that has always finished."""

    def __init__(self, **_: Any) -> None: ...

    def submit(self, call: Callable[..., None], *args: Any, **kwargs: Any) -> "Future[None]":
        done: Future[None] = Future()
        try:
            done.set_result(call(*args, **kwargs))
        except OSError as error:
            done.set_exception(error)
        return done

    def shutdown(self) -> None: ...


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, Sequence[int]]]:
    """The frames and times of every preview, which are also written."""
    seen: list[tuple[np.ndarray, Sequence[int]]] = []

    def write(path: Path, frames: np.ndarray, *, milliseconds: Sequence[int]) -> None:
        seen.append((frames, milliseconds))
        write_preview(path, frames, milliseconds=milliseconds)

    monkeypatch.setattr("wan.runs.beside.ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(preview_module, "write_preview", write)
    return seen


def toy_preview(path: Path, *, every: int = 1, warn: Callable[[str], None] = print, **changes: Any) -> Preview:
    plan = toy_plan(**changes)
    return Preview(path, plan=plan, colours=RED_IS_FIRST, fps=16, every=every, warn=warn)


def test_colours_are_the_linear_map_of_the_latents_clipped_and_rounded() -> None:
    estimate = torch.zeros(4, 2, 1, 3)
    estimate[0, 0, 0, 0], estimate[1, 0, 0, 1], estimate[2, 1, 0, 2], estimate[3] = 1.0, -4.0, 9.0, 7.0
    frames = preview_frames(estimate, RED_IS_FIRST)
    assert frames.shape == (2, 1, 3, 3) and frames.dtype == np.uint8
    assert frames[0, 0].tolist() == [[191, 191, 128], [128, 64, 128], [128, 191, 128]]
    assert frames[1, 0, 2].tolist() == [128, 191, 0]


def test_a_preview_lasts_as_long_as_the_video_with_all_frames_and_with_half() -> None:
    plan = toy_plan(replace(GEOMETRY, pixel_frames=21))
    assert frame_milliseconds(plan, latent_frames=6, fps=20) == [50, 200, 200, 200, 200, 200]
    assert frame_milliseconds(plan, latent_frames=3, fps=20) == [250, 400, 400]
    image = toy_plan(replace(GEOMETRY, pixel_frames=1))
    assert frame_milliseconds(image, latent_frames=1, fps=20) == [50]


def test_the_file_is_an_animated_picture_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "preview.webp"
    frames = np.zeros((3, 60, 104, 3), np.uint8)
    frames[1, :, :, 0], frames[2, :, :, 2] = 255, 255
    for _ in range(2):
        write_preview(path, frames, milliseconds=[50, 250, 250])
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as picture:
        assert (picture.format, picture.n_frames, picture.size, picture.info["loop"]) == ("WEBP", 3, (312, 180), 0)
        times, colours = [], []
        for index in range(3):
            picture.seek(index)
            picture.load()
            times.append(picture.info["duration"])
            colours.append(np.asarray(picture.convert("RGB")).mean(axis=(0, 1)))
    assert times == [50, 250, 250]
    assert np.abs(np.array(colours) - frames[:, 0, 0]).max() < 12


@pytest.mark.parametrize("every", [1, 3])
def test_the_frames_that_are_there_are_shown_after_every_k_th_step(
    every: int, tmp_path: Path, written: list[tuple[np.ndarray, Sequence[int]]]
) -> None:
    class Estimates(Observer):
        def __init__(self) -> None:
            self.seen: list[np.ndarray] = []

        def on_step_end(self, event: StepEvent) -> None:
            self.seen.append(preview_frames(event.state.solver.denoised()[0], RED_IS_FIRST))

    estimates, preview = Estimates(), toy_preview(tmp_path / "preview.webp", every=every, **HALF)
    plan, noise, contexts = toy_plan(**HALF), toy_noise(1), toy_contexts(1)
    watched = run_toy(plan, noise, contexts, observers=[estimates, preview])
    preview.close()
    assert torch.equal(watched, run_toy(plan, noise, contexts))
    assert [len(frames) for frames, _ in written] == [len(one) for one in estimates.seen[every - 1 :: every]]
    assert {len(frames) for frames, _ in written} == {2, 3}  # half of the frames, then all
    for (frames, times), expected in zip(written, estimates.seen[every - 1 :: every], strict=True):
        assert np.array_equal(frames, expected)
        assert sum(times) == pytest.approx(1000 * GEOMETRY.pixel_frames / 16, abs=2)


def test_a_step_does_not_wait_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go, count = threading.Event(), threading.Event(), []

    def slow(*_: Any, **__: Any) -> None:
        count.append(1)
        begun.set()
        assert let_go.wait(20)

    monkeypatch.setattr(preview_module, "write_preview", slow)
    preview = toy_preview(tmp_path / "preview.webp")
    run_toy(toy_plan(), toy_noise(1), toy_contexts(1), observers=[preview])  # ends although nothing is written
    assert begun.wait(20) and len(count) == 1
    let_go.set()
    preview.close()


def test_a_disk_that_takes_no_preview_is_said_once(
    tmp_path: Path, written: list[tuple[np.ndarray, Sequence[int]]]
) -> None:
    (tmp_path / "file").write_text("no folder")
    said: list[str] = []
    preview = toy_preview(tmp_path / "file" / "preview.webp", warn=said.append)
    run_toy(toy_plan(), toy_noise(1), toy_contexts(1), observers=[preview])
    preview.close()
    assert len(written) == 8 and len(said) == 1
    assert "preview.webp cannot be written (" in said[0] and said[0].endswith("; the run goes on")


def test_a_run_ends_bit_equal_and_leaves_no_preview_and_a_stopped_one_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: list[tuple[np.ndarray, Sequence[int]]]
) -> None:
    small = [*SHORT, "--sample_steps", "4", "--frame_num", "5"]
    plain = made(small, tmp_path / "plain")
    keep = Preview.on_step_end

    def stop(self: Preview, event: StepEvent) -> None:
        keep(self, event)
        if event.step.index == 2:
            raise Stopped

    monkeypatch.setattr(Preview, "on_step_end", stop)
    run = stopped([*small, "--preview", "--preview_every", "2"], tmp_path / "shown")
    assert (run / PREVIEW_NAME).is_file() and len(written) == 1
    monkeypatch.setattr(Preview, "on_step_end", keep)
    resumed(run)
    assert len(written) == 2 and torch.equal(latents(run), latents(plain))
    names = {path.name for path in run.iterdir()}
    assert names == {path.name for path in plain.iterdir()} and PREVIEW_NAME not in names


@pytest.mark.parametrize("name", sorted(WAN_CONFIGS))
def test_every_task_has_colours_whose_source_is_named(name: str) -> None:
    colours = preview_colours(WAN_CONFIGS[name])
    assert len(colours.weights) == len(colours.bias) == 3
    assert {len(row) for row in colours.weights} == {WAN_CONFIGS[name].latent_channels}
    assert ("tools/fit_preview.py" if name == "t2v-demo" else "ComfyUI") in colours.source


def test_a_vae_without_colours_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match="--preview knows no colours for the latents of --task t2v-A14B; leave it out"
    ):
        preview_colours(replace(WAN_CONFIGS["t2v-A14B"], preview=None))
    with pytest.raises(InvalidInput, match="has colours for 48 latent channels, and --task t2v-A14B has 16"):
        preview_colours(replace(WAN_CONFIGS["t2v-A14B"], preview="wan-2.2"))


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        ("generate", ["--preview", "--preview_every", "0"], "--preview_every 0 must be at least 1"),
        ("generate", ["--preview_every", "2", "--dry_run"], "--preview_every 2 needs --preview"),
        ("compare", ["--preview"], "unrecognized arguments: --preview"),
        ("continuity", ["--preview"], "unrecognized arguments: --preview"),
    ],
)
def test_what_cannot_be_shown_is_refused(refusal: Refusal, command: str, flags: list[str], said: str) -> None:
    assert said in refusal(command, flags)


def test_a_suite_of_the_arena_has_no_preview() -> None:
    assert {"preview", "preview_every"} <= set(_FIXED)
    assert parse_request(["--preview"]).preview_every == 1


def test_the_fit_finds_a_linear_map_again() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(5, 3, generator=generator) * 0.1
    latents = torch.randn(4, 3, 4, 6, generator=generator)
    exact = (fit_preview.with_one(latents) @ truth).T.reshape(3, 3, 4, 6)
    video = torch.cat([exact[:, :1], exact[:, 1:].repeat_interleave(4, dim=1)], dim=1)
    video = video.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    assert torch.allclose(fit_preview.averaged(video, latents), exact, atol=1e-6)
    found = fit_preview.fit([(latents, video)])
    assert torch.allclose(found, truth, atol=1e-5)
    coarse, fine = fit_preview.measured(found, [(latents, video)])
    assert coarse > 80 and 10 < fine < coarse
