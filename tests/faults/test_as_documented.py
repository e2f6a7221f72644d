"""What the documents say is so: sizes, one frame, commands that replay anywhere, equal frames in equal files."""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from tests.faults.conftest import TINY, Make
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.configs import parse_size
from wan.flags import with_whole_paths
from wan.image_input import open_picture
from wan.request import Request
from wan.runs.latents import load_latents
from wan.runs.video import read_video, write_frames
from wan.shortcuts import Shortcuts


@pytest.mark.parametrize("text", ["832*480", "832x480", "832X480", "832×480", " 832 * 480 "])
def test_sizes_are_read_as_people_write_them(text: str) -> None:
    assert parse_size(text) == (832, 480)


@pytest.mark.parametrize(
    "text", ["832", "832**480", "²*480", "８３２*480", "-832*480", "832.0*480", "832*480*3", "*", ""]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"--size {text!r} is not of the form W*H")):
        parse_size(text)


def documents() -> list[Path]:
    return [*SOURCE_DIR.glob("*.md"), *(SOURCE_DIR / "docs").glob("*.md")]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_sizes_in_commands_are_quoted(path: Path) -> None:
    """zsh, the shell of macOS, takes ``--size 832*480`` for a pattern of file names and stops."""
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"(?:--size|--max_area) +\d+\*\d+ *(?:$|--|\\)", text, flags=re.MULTILINE)


def test_commands_that_are_printed_quote_the_size() -> None:
    assert "--size '832*480'" in Request(size=(832, 480)).command(seed=1)


def test_one_frame_is_one_frame(t2v: Path, make: Make) -> None:
    made = make(t2v, "t2v-A14B", "--prompt", "cat", "--frame_num", "1")
    assert load_latents(made.folder / "latents.safetensors").shape[1] == 1
    assert read_video(made.folder / "video.mp4").shape == (1, 48, 64, 3)
    assert "becomes" not in made.said
    assert any("--frame_num 1 makes a video of one frame" in line for line in made.record["adjustments"])


def test_equal_frames_make_equal_files(tmp_path: Path) -> None:
    """At a size at which x264 works in threads; its default settings gave several different files here."""
    rng = np.random.default_rng(0)
    picture = (rng.random((120, 208, 3)) * 255).repeat(4, 0).repeat(4, 1)
    frames = np.stack([np.roll(picture, 3 * index, 1) for index in range(12)])
    frames = (frames + rng.normal(0, 8, frames.shape)).clip(0, 255).astype(np.uint8)
    hashes = set()
    for number in range(4):
        write_frames(tmp_path / f"{number}.mp4", frames, fps=16, metadata={"prompt": "cat"})
        hashes.add(hashlib.sha256((tmp_path / f"{number}.mp4").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_the_recorded_command_replays_from_another_folder(
    t2v: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With relative paths and with a --save_file that is there by then."""
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir(), other.mkdir()
    (first / "model").symlink_to(t2v)
    monkeypatch.chdir(first)
    argv = ["--task", "t2v-A14B", "--ckpt_dir", "model", *TINY, "--prompt", "a cat; it's $HOME", "--base_seed", "3"]
    assert run("generate", [*argv, "--save_file", "video.mp4", "--text_cache", "texts", "--quiet"]) == 0
    (folder,) = (first / "outputs").iterdir()
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    program, script, *words = shlex.split(record["command"])
    assert (program, script) == ("python", str(SOURCE_DIR / "generate.py"))
    assert "--save_file" not in words and str(first / "model") in words
    monkeypatch.chdir(other)
    assert run("generate", [*words, "--quiet"]) == 0
    (again,) = (other / "outputs").iterdir()
    latents = [load_latents(run_folder / "latents.safetensors") for run_folder in (folder, again)]
    assert latents[0].equal(latents[1])
    # the videos differ in nothing but the metadata, which are equal too
    assert (first / "video.mp4").read_bytes() == (again / "video.mp4").read_bytes()


def test_every_path_of_a_recorded_command_is_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    request = Request(
        ckpt_dir=Path("model"),
        image=Path("a.png"),
        output_dir=Path("results"),
        enable_debug=True,
        debug_output_dir=Path("debug"),
        shortcuts=Shortcuts(plan=Path("plan.json")),
        save_file=Path("video.mp4"),
        overwrite=True,
    )
    words = shlex.split(request.command(seed=0))
    assert {str(tmp_path / name) for name in ("model", "a.png", "results", "debug", "plan.json")} <= set(words)
    assert not {"--save_file", "--overwrite"} & set(words)


def test_the_command_of_a_comparison_has_whole_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from wan.cli.compare import build_parser

    monkeypatch.chdir(tmp_path)
    argv = [
        "--ckpt_dir",
        "model",
        "--prompt",
        "model",
        "--image=a.png",
        "--from_runs",
        "a",
        "b",
        "--seed",
        "0",
        "--quiet",
    ]
    expected = ["--ckpt_dir", f"{tmp_path}/model", "--prompt", "model", f"--image={tmp_path}/a.png"]
    expected += ["--from_runs", f"{tmp_path}/a", f"{tmp_path}/b", "--seed", "0", "--quiet"]
    assert with_whole_paths(build_parser(), argv) == expected


def test_the_hash_of_the_picture_is_that_of_its_file(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert open_picture(tmp_path / "a.png").sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()


@pytest.mark.parametrize("script", ["tools/doctor.py", "tools/compare_cfg_baseline.py", "generate.py"])
def test_doors_open_where_only_the_requirements_are_installed(script: str, tmp_path: Path) -> None:
    """``-S`` leaves out what an installed package hooks into Python; the libraries stay, as a plain folder."""
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    check = "import importlib.util, sys; sys.exit(importlib.util.find_spec('wan') is not None)"
    bare = [sys.executable, "-S"]
    assert subprocess.run([*bare, "-c", check], cwd=tmp_path, env=environment, timeout=60).returncode == 0
    done = subprocess.run(
        [*bare, str(SOURCE_DIR / script), "--help"], cwd=tmp_path, env=environment, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout.startswith(b"usage: python ")
