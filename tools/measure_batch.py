"""Throughput of shared forwards on the demo model, and what a kill -9 in the middle of a video costs.

python tools/measure_batch.py [--part throughput] [--part kill] [--update_docs]

The first part makes the same requests with --batch_size 1, 2, 4 and 8 in one process, models loaded before; it counts
processor time, which other programs on the computer do not change. The second lets two workers make a file together,
kills one in a video, and says when the other went on with it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.batch.lines import Faults, LineReader
from wan.batch.planned import Planned, Planner
from wan.batch.queue import LEASE_SECONDS, Queue, Status
from wan.cli.batch import build_parser
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput, WanError
from wan.machine import Machine
from wan.runs.state_file import STATE_NAME, load_state

NAME = "measure_batch.py"
PARTS = ("throughput", "kill")
PAGES = ("batch.md", "batch.zh.md")
SIZES = (1, 2, 4, 8)
DEMO = ["--task", "t2v-demo", "--sample_steps", "6", "--frame_num", "9"]
KILLED, KILLED_AFTER = ["--task", "t2v-demo", "--frame_num", "25"], 8
PROMPTS = [
    f"a {colour} {shape} moving {way} on a black background"
    for colour, shape, way in (
        ("red", "circle", "right"), ("green", "square", "left"), ("blue", "circle", "up"), ("yellow", "square", "down"),
        ("red", "square", "left"), ("green", "circle", "right"), ("blue", "square", "down"), ("yellow", "circle", "up"),
    )
]  # fmt: skip


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure this part alone; may be repeated")
    parser.add_argument("--update_docs", action="store_true", help="write the tables into docs/batch.md and .zh.md")
    args = parser.parse_args(argv)
    for part in args.part or PARTS:
        with tempfile.TemporaryDirectory() as place:
            lines = {"throughput": throughput, "kill": killed}[part](Path(place) / part)
        print("\n".join(lines))
        for page in PAGES if args.update_docs else ():
            path = SOURCE_DIR / "docs" / page
            begin, end = (f"<!-- {part}:{place} -->" for place in ("begin", "end"))
            text = replace_between(path.read_text(encoding="utf-8"), "\n".join(lines), begin=begin, end=end)
            path.write_text(text, encoding="utf-8")


def throughput(place: Path) -> list[str]:
    """A row for each batch size."""
    from wan.batch.making import VideoMaker

    file = written(place)
    maker = VideoMaker(folder=place, machine=Machine(), say=lambda line: None)
    requests, rows = [one.entry for one in planned(file)], list[tuple[int, float]]()
    for size in (0, *SIZES):  # at first one request alone, which loads the models
        maker.folder = place / f"size_{size}"
        queue = Queue(maker.folder)
        queue.submit(requests if size else requests[:1])
        start = time.process_time()
        while claims := queue.claim(size or 1):
            for claim, made in zip(claims, maker.make(claims, check=lambda claim: None), strict=True):
                assert isinstance(made, str), made
                claim.finish(file=made)
        rows.append((size, (time.process_time() - start) / len(requests)))
    _, plain, *_ = (seconds for _, seconds in rows)
    return [
        f"`python tools/{NAME} --part throughput`: {len(requests)} videos of the demo model "
        f"({' '.join(DEMO[2:])}), one thread.",
        "",
        "| `--batch_size` | processor seconds a video, all phases | against 1 |",
        "|---|---|---|",
        *(f"| {size} | {seconds:.2f} | {plain / seconds:.2f}x |" for size, seconds in rows[1:]),
    ]


def killed(place: Path) -> list[str]:
    """Kill one of two workers in the middle of a video; what the other made of it."""
    file, out = written(place), place / "out"
    workers = [started(file, out) for _ in range(2)]
    while not (found := next((path for path in out.glob(f"*/{STATE_NAME}") if _steps(path) >= KILLED_AFTER), None)):
        if all(worker.poll() is not None for worker in workers):
            raise WanError("both workers ended before one could be killed in a video; measure again")
        time.sleep(0.01)
    owner = next(one for one in Queue(out).statuses() if one.entry.folder == found.parent.name)
    victim = next(worker for worker in workers if f"-{worker.pid}-" in owner.worker)
    os.kill(victim.pid, signal.SIGKILL)
    moment, steps = time.time(), _steps(found)
    codes = [worker.wait() for worker in workers if worker is not victim]
    statuses = list(Queue(out).statuses())
    return [
        "| kill -9 of one of two workers | |",
        "|---|---|",
        f"| it was killed in | request {owner.id}, {_steps_of(out, owner, steps)} |",
        f"| the other one took it over after | {_taken_over(out, owner) - moment:.1f} s, when its own video was made "
        f"(on another machine: after the lease, {LEASE_SECONDS:g} s) |",
        f"| requests finished, failed; exit code of the other | {sum(one.state == 'finished' for one in statuses)}, "
        f"{sum(one.state == 'failed' for one in statuses)}; {codes[0]} |",
    ]


def _steps(state: Path) -> int:
    """How many steps a resume file holds; 0 when its run has ended meanwhile."""
    try:
        return int(load_state(state, run=None, device=torch.device("cpu"))["steps_done"])
    except InvalidInput:
        return 0


def _steps_of(out: Path, owner: Status, steps: int) -> str:
    record = json.loads((out / owner.entry.folder / "run.json").read_text(encoding="utf-8"))
    resumed = len(record.get("resumed", []))
    return f"after step {steps} of {len(record['plan']['steps'])}; resumed {resumed} time"


def _taken_over(out: Path, owner: Status) -> float:
    segment, _, place = owner.id.partition("-")
    return (out / "queue" / segment / f"{place}.c2").stat().st_ctime - _age(out, owner)


def _age(out: Path, owner: Status) -> float:
    """A claim file is written again when its request ends: how long before that it was made."""
    status = Queue(out).state(owner.id)
    return status.result.seconds if status.result else 0.0


def started(file: Path, out: Path) -> subprocess.Popen[bytes]:
    """A worker in a process of its own."""
    command = [sys.executable, "-m", "wan", "batch", str(file), "--output_dir", str(out), *KILLED, "--quiet"]
    return subprocess.Popen(command, cwd=SOURCE_DIR)


def written(place: Path) -> Path:
    """A file of the prompts, with a seed for each."""
    place.mkdir(parents=True)
    file = place / "prompts.jsonl"
    lines = [json.dumps({"prompt": prompt, "seed": seed}) + "\n" for seed, prompt in enumerate(PROMPTS)]
    file.write_text("".join(lines), encoding="utf-8")
    return file


def planned(file: Path) -> list[Planned]:
    """Its requests."""
    faults = Faults(file)
    found = Planner(faults).plan(LineReader(file, build_parser().parse_args([str(file), *DEMO])).read(faults))
    faults.raise_all()
    return found


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
