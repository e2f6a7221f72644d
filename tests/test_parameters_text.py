"""The text ``parameters``: what a reader of A1111's format finds in it, whatever the prompt says."""

import hashlib
import json
import re
from pathlib import Path

import av
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import wan
from tests.faults.conftest import Make, make, t2v
from wan.cli.main import run
from wan.job import prepare
from wan.parameters_text import parameters_text
from wan.recorded_request import recorded_request
from wan.request import parse_request
from wan.runs.video import read_settings, write_image, write_video

__all__ = ["make", "t2v"]

DEMO = ["--task", "t2v-demo", "--sample_steps", "4", "--frame_num", "9"]
PAIR = re.compile(r'([A-Za-z][A-Za-z ]*): ("(?:\\.|[^"\\])*"|[^,]*)(?:, |$)')
FOREIGN = "a cat\nNegative prompt: dogs\nSteps: 99, Sampler: Euler, CFG scale: 1, Seed: 0, Size: 8x8, Version: x"


def text_of(*flags: str, seed: int = 7) -> str:
    return parameters_text(prepare(parse_request([*DEMO, *flags])), seed=seed)


def read(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt and settings, as the readers of that format take a text apart."""
    *lines, last = text.split("\n")
    prompts: tuple[list[str], list[str]] = [], []
    for line in lines:
        prompts[bool(prompts[1]) or line.startswith("Negative prompt:")].append(line)
    negative = " ".join(prompts[1]).removeprefix("Negative prompt:").strip()
    values = {name: json.loads(value) if value[:1] == '"' else value for name, value in PAIR.findall(last)}
    return " ".join(prompts[0]), negative, values


def test_a_reader_finds_prompt_negative_prompt_and_settings() -> None:
    prompt, negative, values = read(text_of("--prompt", "a red circle", "--negative_prompt", "blurred"))
    assert (prompt, negative) == ("a red circle", "blurred")
    assert values == {
        "Steps": "4",
        "Sampler": "UniPC",
        "CFG scale": "3",
        "CFG scale high noise": "4",
        "Seed": "7",
        "Size": "64x64",
        "Model": "t2v-demo",
        "Shift": "12",
        "Frames": "9",
        "FPS": "16",
        "Version": f"Wan2.2 Shortcut {wan.__version__}",
    }


def test_what_the_format_has_no_word_for_is_said_under_names_of_ours() -> None:
    flags = ["--cfg_truncate_steps", "2", "--cache", "sea", "--cache_threshold", "2", "--sample_guide_scale", "3.5"]
    values = read(text_of("--prompt", "x", *flags, "--sample_solver", "dpm++"))[2]
    assert values["Shortcuts"] == "CFG truncation 2 + 0 (decay); sea cache (threshold 2)"
    assert (values["CFG scale"], values["Sampler"]) == ("3.5", "DPM++ 2M") and "CFG scale high noise" not in values
    official = read(parameters_text(prepare(parse_request(["--task", "t2i-14B"])), seed=1))
    assert "FPS" not in official[2] and official[1].startswith("色调艳丽")


def test_values_with_commas_and_colons_are_quoted() -> None:
    assert read('x\nA: "b, c: \\"d\\"", E: f')[2] == {"A": 'b, c: "d"', "E": "f"}  # the reader of this test can do it
    flags = ["--cache", "mag", "--cache_threshold", "0.3", "--cache_retention", "0.1"]
    assert read(text_of("--prompt", "x", *flags))[2]["Shortcuts"] == "mag cache (threshold 0.3, retention 0.1)"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["Negative prompt:", "steps:", "Steps: 9", "\n", "\r", " ", ", ", "Seed: 1", "猫"])))
def test_a_prompt_cannot_pass_for_settings(parts: list[str]) -> None:
    text = text_of("--prompt=" + "".join(parts), "--negative_prompt=" + "".join(parts) + FOREIGN)
    assert len(text.split("\n")) == 3 and text.count("Negative prompt:") == text.count("Steps:") == 1
    _, negative, values = read(text)
    assert (values["Steps"], values["Seed"], values["Size"]) == ("4", "7", "64x64") and negative.endswith("Version: x")


def test_an_mp4_and_a_png_carry_it_where_other_programs_look(tmp_path: Path) -> None:
    metadata = {"prompt": FOREIGN, "parameters": text_of("--prompt", FOREIGN, "--negative_prompt", "猫")}
    write_video(tmp_path / "a.mp4", torch.zeros(3, 2, 16, 16), fps=8, metadata=metadata)
    write_image(tmp_path / "a.png", torch.zeros(3, 1, 16, 16), metadata=metadata)
    with av.open(str(tmp_path / "a.mp4")) as container:
        tags = container.metadata
    assert tags["parameters"] == metadata["parameters"] and json.loads(tags["comment"]) == {"prompt": FOREIGN}
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text == metadata
    assert read_settings(tmp_path / "a.mp4") == read_settings(tmp_path / "a.png") == metadata


def test_equal_frames_and_settings_still_make_equal_files(tmp_path: Path) -> None:
    hashes = set()
    for number in range(3):
        path = tmp_path / f"{number}.mp4"
        write_video(path, torch.zeros(3, 3, 16, 16), fps=8, metadata={"prompt": "a", "parameters": "a\nSteps: 1"})
        hashes.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_a_run_carries_it_and_is_made_again_and_reported(
    t2v: Path, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(t2v, "t2v-A14B", "--prompt", FOREIGN)
    video = made.folder / "video.mp4"
    assert made.record["parameters"] == read_settings(video)["parameters"]
    assert recorded_request(video).request.prompt == FOREIGN
    monkeypatch.chdir(tmp_path)
    assert run("generate", ["--from", str(video), "--quiet"]) == 0
    (again,) = (tmp_path / "outputs").iterdir()
    # frames and every setting but the folder of the results, which a file does not decide
    first, second = read_settings(video), read_settings(again / "video.mp4")
    assert {**first, "command": ""} == {**second, "command": ""}
    assert run("report", [str(again), "--output", "page.html"]) == 0
    assert "a cat" in Path("page.html").read_text(encoding="utf-8")
