"""Every command that a sentence may name, in one table, spelled so that its reader can run it.

In a clone of the project the commands are the founding ones (``python generate.py``, ``python tools/doctor.py``); where
the package was installed without a clone they are ``wan generate``, ``wan doctor``.
"""

import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE_DIR = Path(__file__).resolve().parent.parent
"""The folder that holds the package: the project's root in a clone, site-packages otherwise."""


@dataclass(frozen=True, slots=True)
class Command:
    """``summary`` is its line in ``wan --help``; ``door`` what runs it in a clone, where it has one: a file, and for a
    command of a command ("bench arena") the word after it."""

    summary: str
    door: str | None = None


COMMANDS: Mapping[str, Command] = {
    "generate": Command("make a video from a prompt (the official command)", "generate.py"),
    "batch": Command("make the videos of a file of requests, with any number of workers"),
    "serve": Command("a page and an API for videos, in front of one queue"),
    "extend": Command("a prompt written out by a language model, without making a video"),
    "decode": Command("the video of latents on disk, of a finished or a stopped run"),
    "compare": Command("compare shortcuts with the same-seed baseline", "tools/compare_cfg_baseline.py"),
    "continuity": Command("how much neighbouring frames differ, step by step", "tools/analyze_temporal_continuity.py"),
    "continuity-demo": Command("the same on simulated latents, without a model", "tools/analyze_continuity_simple.py"),
    "report": Command("one HTML page about runs and measurements", "tools/report.py"),
    "bench": Command("time the sampling loop, plain and with every shortcut", "tools/benchmark.py"),
    "bench arena": Command("many methods on the same clips: quality against cost", "tools/benchmark.py arena"),
    "tune": Command("find the best plan for every budget, on a checkpoint of yours"),
    "doctor": Command("check a checkpoint folder, and say what mends it", "tools/doctor.py"),
    "convert": Command("convert an official checkpoint to the diffusers layout", "tools/convert_checkpoint.py"),
    "download": Command("download the checkpoint of a task", "tools/download_model_weights.py"),
}


def module_of(name: str) -> str:
    """The module of a command: ``wan.cli.bench_arena`` for "bench arena"."""
    return f"wan.cli.{name.replace('-', '_').replace(' ', '_')}"


def in_clone() -> bool:
    """Whether the package runs from a clone of the project, whose files a sentence may name."""
    return (SOURCE_DIR / "generate.py").is_file() and (SOURCE_DIR / "tools").is_dir()


def program(name: str) -> str:
    """How this reader calls a command: ``python tools/doctor.py``, or ``wan doctor``."""
    door = COMMANDS[name].door
    if not in_clone():
        return f"wan {name}"
    return f"python {door}" if door else f"python -m wan {name}"


def command_line(name: str, *words: str | Path) -> str:
    """A command with its words quoted for the system's shell."""
    return " ".join([program(name), *map(quoted, words)])


def replay_line(name: str, *words: str | Path, processes: int = 1) -> str:
    """The same, for any folder: in a clone with the whole path of the program; for several processes with torchrun."""
    door = (COMMANDS[name].door or "").split()
    assert door, name
    if in_clone():
        start = [*_starter(processes), quoted(SOURCE_DIR / door[0]), *door[1:]]
    else:
        start = [*_starter(processes), "-m", program(name)] if processes > 1 else [program(name)]
    return " ".join([*start, *map(quoted, words)])


def group_program(name: str, processes: int) -> str:
    """How this reader starts a command as several processes: ``torchrun --nproc_per_node=2 generate.py``."""
    door = COMMANDS[name].door
    return " ".join([*_starter(processes), door if door and in_clone() else f"-m wan {name}"])


def _starter(processes: int) -> list[str]:
    return ["python"] if processes == 1 else ["torchrun", f"--nproc_per_node={processes}"]


def quoted(word: str | Path) -> str:
    """One word as the system's shell wants it."""
    return subprocess.list2cmdline([str(word)]) if os.name == "nt" else shlex.quote(str(word))
