"""What the tests with real videos share: a file of four requests, the command, and what came out."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from wan.batch.queue import Queue, Status
from wan.cli.main import run
from wan.runs.latents import load_latents

FLAGS = ["--task", "t2v-demo", "--sample_steps", "10", "--frame_num", "9"]
LINES = [
    {"prompt": "a red circle moving right on a blue background", "seed": 1, "frame_num": 13},
    {"prompt": "a green square moving left on a black background", "seed": 2},
    {"prompt": "a red circle moving right on a blue background", "seed": 3},
    {"prompt": "a yellow circle moving up on a black background", "seed": 4, "cfg_truncate_steps": 2},
]


def written(folder: Path, lines: list[dict[str, object]]) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def batch(path: Path, folder: Path, *flags: str) -> int:
    return run("batch", [str(path), "--output_dir", str(folder), *FLAGS, *flags])


def statuses(folder: Path) -> dict[int, Status]:
    """By line."""
    return {int(one.entry.source.split()[1]): one for one in Queue(folder).statuses()}


def latents(folder: Path) -> dict[int, torch.Tensor]:
    return {
        line: load_latents(folder / one.entry.folder / "latents.safetensors")
        for line, one in statuses(folder).items()
        if one.state == "finished"
    }


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest, as a share of the largest value."""
    return float((one - other).abs().max() / other.abs().max())


def until(holds: Callable[[], bool], *, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
