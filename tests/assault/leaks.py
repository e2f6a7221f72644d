"""Part ``leaks``: many runs in one process; what it holds after each stays the same after the first few."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.assault.children import SECONDS, environment
from tests.assault.trials import Plan, Trial

RUNS, SAMPLE_RUNS, WARM_UP = 30, 8, 4
MEGABYTES_PER_RUN = 0.3
"""Steepest rise of the straight line through the resident memory after the warm-up. The demo model's weights
have 23 MB on disk; measured: 0.02."""
CHECKED = (
    f"{RUNS} runs in one process, each loading, sampling and decoding (plain, and with a cache and half-frame): after "
    f"the first {WARM_UP} a straight line through the resident memory rises by at most {MEGABYTES_PER_RUN} MB a run, "
    "and open file descriptors, threads and temporary files stay the same."
)
_COUNTED = ("descriptors", "threads", "temporary")
_RUN = ("--task", "t2v-demo", "--prompt", "a red circle moving right", "--quiet", "--frame_num", "9")
_VARIANTS: Mapping[str, Sequence[str]] = {
    "plain": ("--sample_steps", "6"),
    "cache and half-frame": ("--sample_steps", "10", "--cache", "taylor", "--cache_order", "1",
                             "--enable_half_frame_generation", "--frame_completion", "interpolate"),
}  # fmt: skip


def plan(folder: Path, sample: bool) -> Plan:
    """The trials of this part."""
    if not Path("/proc/self/status").is_file():
        return Plan(trials=[], left_out=["all of it (only Linux says what a process holds)"])
    chosen = {"plain": _VARIANTS["plain"]} if sample else _VARIANTS
    runs = SAMPLE_RUNS if sample else RUNS
    return Plan(
        trials=[
            Trial(f"{runs} runs, {name}", lambda f=flags, n=name: _attack(folder / n, f, runs))
            for name, flags in chosen.items()
        ]
    )


def growth(held: Sequence[Mapping[str, float]]) -> str | None:
    """The fault of what a process held after each of its runs."""
    steady = held[WARM_UP - 1 :]
    memory = [one["memory"] for one in steady]
    rise = float(np.polyfit(range(len(memory)), memory, 1)[0])
    if rise > MEGABYTES_PER_RUN:
        return f"memory rises by {rise:.2f} MB a run: {', '.join(f'{one:.0f}' for one in memory)}"
    for name in _COUNTED:
        values = [one[name] for one in steady]
        if values[-1] > values[0]:
            return f"{name} grow: {', '.join(f'{value:.0f}' for value in values)}"
    return None


def _attack(place: Path, flags: Sequence[str], runs: int) -> str | None:
    temporary = place / "temporary"
    temporary.mkdir(parents=True)
    words = [sys.executable, str(Path(__file__).with_name("leak_child.py")), str(runs), str(place / "out")]
    ended = subprocess.run(
        [*words, *_RUN, *flags],
        cwd=place,
        env=environment() | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        return f"ended with {ended.returncode}: {ended.stderr.strip()[-300:]}"
    held = [json.loads(line) for line in ended.stdout.splitlines()]
    (place / "held.json").write_text(json.dumps(held))
    return growth(held) if len(held) == runs else f"{len(held)} of {runs} runs"
