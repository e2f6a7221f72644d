"""A group of processes as a user runs it: one reports for all, and none outlives one that fails, is killed or hangs."""

import time
from pathlib import Path

import pytest
import torch

from tests.parallel.broken import ANSWER_SECONDS, END_SECONDS
from tests.parallel.launch import finished, launched, said
from wan.cli.main import run
from wan.parallel import group
from wan.runs import load_record
from wan.runs.latents import load_latents
from wan.runs.state_file import STATE_NAME

PROMPT = "a red circle moving right on a blue background"
DEMO = ["--task", "t2v-demo", "--prompt", PROMPT, "--base_seed", "3", "--size", "64x64", "--frame_num", "5"]
TWO = ["--ulysses_size", "2", "--device", "cpu"]
PATIENCE = 240.0
"""Seconds for processes to start on a busy machine."""


def run_folder(output_dir: Path) -> Path:
    (found,) = output_dir.glob("t2v-demo_*")
    return found


def test_bad_input_is_said_once(tmp_path: Path) -> None:
    words = ["generate.py", *DEMO, "--ulysses_size", "4", "--output_dir", str(tmp_path / "out")]
    assert finished(launched(2, *words, log=tmp_path), seconds=PATIENCE) == [2, 2]
    assert said(tmp_path, 0) == (
        "generate.py: torchrun started 2 processes, and --ulysses_size 4 needs 4; give --ulysses_size 2 or "
        "--cfg_parallel with half of it, or start 4 with --nproc_per_node=4\n"
    )
    assert said(tmp_path, 1) == "" and not (tmp_path / "out").exists()


@pytest.mark.parametrize("sharing", ["--ulysses_size 2", "--cfg_parallel"])
def test_a_killed_rank_ends_the_group_and_the_run_goes_on_to_the_same_latents(sharing: str, tmp_path: Path) -> None:
    flags = [*DEMO, "--sample_steps", "12", "--cache", "mag", "--cache_threshold", "0.3", "--enable_debug"]
    out = ["--output_dir", str(tmp_path / "several"), "--device", "cpu"]
    processes = launched(2, "generate.py", *flags, *sharing.split(), *out, log=tmp_path / "first")
    until = time.monotonic() + PATIENCE
    while not list((tmp_path / "several").glob(f"*/{STATE_NAME}")) and time.monotonic() < until:
        time.sleep(0.02)
    processes[1].kill()
    start = time.monotonic()
    codes = finished(processes, seconds=group.ANSWER_SECONDS + group.END_SECONDS)
    assert codes[0] == 1 and time.monotonic() - start < group.ANSWER_SECONDS + group.END_SECONDS
    (sentence,) = (tmp_path / "first" / "rank_0.err").read_text().split("generate.py: ")[1:]
    assert sentence == (
        "failed: one of the 2 processes of this run is gone (killed, or out of memory); the run folder keeps what was "
        "computed\n"
    )
    folder = run_folder(tmp_path / "several")
    assert (folder / STATE_NAME).is_file() and load_record(folder)["status"] == "failed"

    again = launched(2, "generate.py", "--resume", str(folder), log=tmp_path / "again")
    assert finished(again, seconds=PATIENCE) == [0, 0], said(tmp_path / "again", 0)
    assert "going on after step" in said(tmp_path / "again", 0) and said(tmp_path / "again", 1) == ""
    record = load_record(folder)
    assert record["status"] == "finished" and record["settings"]["several_gpus"] == sharing
    assert (folder / "video.mp4").is_file()

    alone = ["--output_dir", str(tmp_path / "one"), "--debug_output_dir", str(tmp_path / "debug")]
    assert run("generate", [*flags, *alone, "--quiet"]) == 0
    one = run_folder(tmp_path / "one")
    torch.testing.assert_close(
        load_latents(folder / "latents.safetensors"), load_latents(one / "latents.safetensors"), rtol=0, atol=1e-5
    )
    assert record["forwards"] == load_record(one)["forwards"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("fail", "rank 1 of 2 failed: made up by a test"),
        (
            "hang",
            f"rank 1 of 2 has not answered for {ANSWER_SECONDS:g} s; the run folder keeps what was computed",
        ),
    ],
)
def test_the_reason_is_said_by_rank_0(what: str, sentence: str, tmp_path: Path) -> None:
    words = ["-m", "tests.parallel.broken", what, *DEMO, *TWO, "--sample_steps", "4", "--quiet"]
    processes = launched(2, *words, "--output_dir", str(tmp_path / "out"), log=tmp_path)
    codes = [processes[0].wait(timeout=PATIENCE)]
    if what == "fail":
        codes.append(processes[1].wait(timeout=END_SECONDS + 10))
    assert codes == [1] * len(codes)
    finished(processes, seconds=1) if what == "fail" else [processes[1].kill(), processes[1].wait()]
    assert (tmp_path / "rank_0.err").read_text().splitlines()[-1].endswith(f"failed: {sentence}")
    assert said(tmp_path, 1) == ""
