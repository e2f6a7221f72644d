"""A run that was stopped goes on where it was and ends bit-equal to one that never was; a changed one is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wan import generation
from wan.cli.main import run as run_command
from wan.errors import InvalidInput
from wan.generation import generate
from wan.job import open_job_checkpoint, prepare
from wan.request import parse_request
from wan.resuming import earlier_run
from wan.run_parts import ResumeFile
from wan.runs import load_record
from wan.runs.latents import load_latents
from wan.runs.lock import working_in
from wan.runs.state_file import STATE_NAME
from wan.runs.video import read_video
from wan.sampling.carried_size import carried_bytes
from wan.sampling.guard import CollapseGuard
from wan.sampling.observers import StepEvent

BASE = ["--task", "t2v-demo", "--prompt", "a red circle moving right on a blue background", "--base_seed", "3"]
SHORT = [*BASE, "--sample_steps", "8", "--frame_num", "9"]
HALF = ["--enable_half_frame_generation", "--frame_completion", "interpolate"]
RUNS: dict[str, list[str]] = {
    "plain": [],
    "dpm++": ["--sample_solver", "dpm++"],
    "lora, euler": ["--sample_solver", "euler", "--lora", "t2v-demo-4steps"],
    "truncated": ["--cfg_truncate_steps", "2", "--cfg_truncate_high_noise_steps", "2", "--cfg_truncate_mode", "decay"],
    "half": HALF,
    "half spread": [*HALF, "--frame_positions", "spread"],
    "window": ["--enable_half_frame_generation", "--half_frame_start", "2", "--half_frame_steps", "3",
               "--frame_completion", "follow"],
    "restart": ["--restart_at_switch"],
    "sea": ["--cache", "sea", "--cache_threshold", "2.0"],
    "mag": ["--cache", "mag", "--cache_threshold", "0.3", "--cache_retention", "0.1"],
    "first block": ["--cache", "first_block", "--cache_threshold", "0.8"],
    "taylor": ["--cache", "taylor", "--cache_order", "2"],
    "cache and truncation": ["--cache", "sea", "--cache_threshold", "2.0", "--cfg_truncate_steps", "2"],
    "batched": ["--batch_cfg", "--cache", "sea", "--cache_threshold", "2.0"],
    "budget": ["--budget", "0.5"],
    "debug": ["--enable_debug", "--cfg_truncate_steps", "2"],
}  # fmt: skip
KILLED_AFTER = (1, 3, 5)
"""Steps, of which the first and the last are in different stages."""


class Stopped(BaseException):
    """As if the process had been killed: nothing that a handler does after it counts."""


SIZES: list[int] = []


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[int, Path]:
    """By steps made, the folder as kill -9 would have left it then: copied when the state after that step is on disk.

    ``SIZES``: of the resume file after every step.
    """
    keep, found = ResumeFile.on_step_end, dict[int, Path]()
    SIZES.clear()

    def on_step_end(self: ResumeFile, event: StepEvent) -> None:
        keep(self, event)
        self.wait()
        SIZES.append(self.path.stat().st_size)
        run, steps = self.path.parent, event.step.index + 1
        if steps in KILLED_AFTER and steps not in found:
            passing = shutil.ignore_patterns(".partial-*")
            found[steps] = Path(shutil.copytree(run, tmp_path / f"killed_{steps}" / run.name, ignore=passing))

    monkeypatch.setattr(ResumeFile, "on_step_end", on_step_end)
    return found


def made(argv: list[str], output_dir: Path) -> Path:
    generate(prepare(parse_request([*argv, "--output_dir", str(output_dir)])), say=print, show_progress=False)
    return run_in(output_dir)


def run_in(output_dir: Path) -> Path:
    (run,) = output_dir.glob("t2v-demo_*")
    return run


def stopped(argv: list[str], output_dir: Path) -> Path:
    with pytest.raises(Stopped):
        made(argv, output_dir)
    return run_in(output_dir)


def resumed(run: Path, **how: Any) -> Path:
    generation.resume(earlier_run(run, **how), say=print, show_progress=False)
    return run


def latents(run: Path) -> torch.Tensor:
    return load_latents(run / "latents.safetensors")


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_is_bit_equal_and_its_file_as_large_as_announced(
    name: str, tmp_path: Path, killed: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = [*(BASE if name == "budget" else SHORT), *RUNS[name]]
    whole = made(argv, tmp_path / "whole")
    if name != "debug":  # the differences that the analysis compares are not announced
        job = prepare(parse_request(argv))
        announced = carried_bytes(job.plan, open_job_checkpoint(job).denoiser_size, dtype_bytes=4)
        names = 40_000  # of the tensors, and what was counted
        assert max(SIZES) - names <= announced <= 1.25 * max(SIZES)
    assert tuple(killed) == KILLED_AFTER
    for steps, run in killed.items():
        assert (run / STATE_NAME).is_file() and load_record(run)["status"] == "running"
        resumed(run)
        assert torch.equal(latents(run), latents(whole)), f"killed after step {steps}"
        assert not (run / STATE_NAME).exists() and (run / "video.mp4").is_file()
        assert load_record(run)["forwards"] == load_record(whole)["forwards"]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after its third step."""
    with pytest.MonkeyPatch.context() as patch:
        keep = ResumeFile.on_step_end

        def on_step_end(self: ResumeFile, event: StepEvent) -> None:
            keep(self, event)
            self.wait()
            if event.step.index == 2:
                raise Stopped

        patch.setattr(ResumeFile, "on_step_end", on_step_end)
        return stopped(SHORT, tmp_path_factory.mktemp("interrupted"))


@pytest.fixture
def again(interrupted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(interrupted, tmp_path / interrupted.name))


def change(run: Path, *keys: str, to: Any) -> None:
    record = load_record(run)
    section = record
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = to
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")


def test_a_run_that_another_process_works_on_is_refused(again: Path) -> None:
    with working_in(again), pytest.raises(InvalidInput, match="is being worked on by another process"):
        resumed(again)


def test_a_run_without_a_step_begins_again_in_its_folder(again: Path) -> None:
    (again / STATE_NAME).unlink()
    seen: list[str] = []
    generation.resume(earlier_run(again), say=seen.append, show_progress=False)
    assert load_record(again)["status"] == "finished" and not any("going on after" in line for line in seen)


def test_a_run_with_its_latents_is_only_decoded(again: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resumed(again)
    kept, video = latents(again), (again / "video.mp4").read_bytes()
    (again / "video.mp4").unlink()
    change(again, "status", to="failed")
    monkeypatch.setattr("wan.session.Session.sample", None)  # nothing samples
    resumed(again)
    assert torch.equal(latents(again), kept) and len((again / "video.mp4").read_bytes()) > len(video) / 2
    timing = load_record(again)["timing"]
    assert len(timing["steps"]) == 8 and timing["inference"] > 0


def test_a_finished_run_is_left_as_it_is(again: Path) -> None:
    resumed(again)
    before = {path: path.stat().st_mtime_ns for path in again.iterdir()}
    seen: list[str] = []
    generation.resume(earlier_run(again), say=seen.append)
    assert "is finished" in seen[0]
    assert before == {path: path.stat().st_mtime_ns for path in again.iterdir()}


def test_temporary_files_of_a_killed_process_are_removed(again: Path) -> None:
    (again / ".partial-1-00000000.safetensors").write_bytes(b"half")
    resumed(again)
    assert not list(again.glob(".partial-*"))


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("settings", "shift"), 5.0, "shift was 5.0 and is 12.0"),
        (("settings", "size"), [32, 32], "size was"),
        (("checkpoint", "id"), "0" * 64, "its checkpoint has changed"),
        (("versions", "torch"), "1.0", "torch was 1.0"),
        (("resume", "code"), "0" * 64, "the code of this project"),
        (("plan", "solver"), "euler", "its plan is not the one"),
    ],
)
def test_what_has_changed_is_named(again: Path, keys: tuple[str, ...], value: Any, named: str) -> None:
    change(again, *keys, to=value)
    with pytest.raises(InvalidInput, match=named):
        earlier_run(again)


def test_changed_code_can_be_accepted_and_is_recorded(again: Path) -> None:
    change(again, "versions", "torch", to="1.0")
    resumed(again, accept_changes=True)
    assert any("resumed although torch was 1.0" in line for line in load_record(again)["adjustments"])


def test_a_record_of_an_earlier_version_is_refused(again: Path) -> None:
    change(again, "resume", to=None)
    with pytest.raises(InvalidInput, match="cannot be resumed"):
        earlier_run(again)


def test_flags_beside_resume_may_not_ask_for_something_else(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("generate", ["--resume", str(again), "--sample_steps", "9"]) == 2
    assert "--sample_steps" in capsys.readouterr().err
    assert run_command("generate", ["--resume", str(again), "--dry_run"]) == 0
    assert "can be resumed" in capsys.readouterr().out


def test_a_flag_that_says_the_same_is_no_other_setting(again: Path) -> None:
    assert run_command("generate", ["--resume", str(again), "--task", "t2v-demo", "--sample_steps", "8"]) == 0
    assert load_record(again)["status"] == "finished"


def test_what_was_kept_on_the_way_is_gone_at_the_end(again: Path) -> None:
    assert (again / "partial_latents.safetensors").is_file() and (again / STATE_NAME).is_file()
    resumed(again)
    assert {path.name for path in again.glob("[!.]*")} == {"latents.safetensors", "run.json", "video.mp4"}


def test_a_run_that_went_on_in_between_is_read_again_first(again: Path) -> None:
    earlier = earlier_run(again)
    change(again, "status", to="interrupted" if earlier.record["status"] != "interrupted" else "failed")
    with pytest.raises(InvalidInput, match="has been worked on meanwhile"):
        generation.resume(earlier, say=print, show_progress=False)


def test_the_state_of_another_run_is_refused(again: Path, interrupted: Path) -> None:
    change(again, "seed", to=4)
    with pytest.raises(InvalidInput, match="not the resume file of this run"):
        resumed(again)


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"", lambda data: data[:8] + b"x" * 100])
def test_a_damaged_state_is_refused(again: Path, damage: Callable[[bytes], bytes]) -> None:
    state = again / STATE_NAME
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(InvalidInput, match="remove it, and the run begins again"):
        resumed(again)


def test_without_a_resume_file_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: CollapseGuard, event: StepEvent) -> None:
        raise Stopped

    monkeypatch.setattr(CollapseGuard, "on_step_end", fail)
    run = stopped([*SHORT, "--no_resume_file"], tmp_path)
    assert not (run / STATE_NAME).exists() and (run / "partial_latents.safetensors").is_file()


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wan.run_parts.Packed.write", full)
    run = made(SHORT, tmp_path)
    record = load_record(run)
    assert record["status"] == "finished"
    assert sum("resume file" in line for line in record["adjustments"]) == 1


def test_decode_shows_what_a_stopped_run_had(again: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("decode", [str(again)]) == 0
    assert read_video(again / "after_step_03.mp4").shape == (9, 64, 64, 3)
    assert run_command("decode", [str(again)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_decode_refuses_a_place_that_cannot_be_written(again: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file" / "video.mp4", tmp_path / "video.gif", tmp_path):
        assert run_command("decode", [str(again), "--save_file", str(place), "--overwrite"]) == 2


def test_decode_makes_the_video_of_a_finished_run_again(again: Path, tmp_path: Path) -> None:
    resumed(again)
    first = read_video(again / "video.mp4")
    other = tmp_path / "other.mp4"
    assert run_command("decode", [str(again / "latents.safetensors"), "--save_file", str(other)]) == 0
    difference = np.abs(read_video(other).astype(float) - first)
    assert difference.mean() < 1.0


@pytest.mark.parametrize(
    ("name", "content"), [("none", None), ("text.safetensors", b"no latents"), ("text.pt", b"no latents")]
)
def test_decode_refuses_what_are_no_latents(
    name: str, content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run_command("decode", [str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
