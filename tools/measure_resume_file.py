"""How long the resume file of a real-size run takes to write, beside what a step of that run costs.

python tools/measure_resume_file.py
python tools/measure_resume_file.py --task t2v-A14B --size "1280*720" --folder /mnt/disk --update_docs

Writes states of random numbers, of the size that a run leaves behind after a step, as a run does (atomic, with fsync).
All that a computed step renews is renewed every time; the first state, which finds no memory to use again, is left out.
A step's time is computed: its FLOPs at an assumed share of a GPU's published speed, two forwards a step.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.commands import SOURCE_DIR
from wan.gpus import EFFICIENCY, GPUS
from wan.job import Job, prepare
from wan.request import parse_request
from wan.runs import write_text_atomic
from wan.sampling.carried_size import carried_bytes, renewed_bytes
from wan.sampling.price import price, published_size

NAME = "measure_resume_file.py"
PAGES = (SOURCE_DIR / "docs" / "reliability.md", SOURCE_DIR / "docs" / "reliability.zh.md")
BEGIN, END = "<!-- resume-file:begin -->", "<!-- resume-file:end -->"
RUNS = {"plain": [], "MagCache": ["--cache", "mag"], "SeaCache": ["--cache", "sea"]}
GPU = "H100"


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--task", default="t2v-A14B")
    parser.add_argument("--size", nargs="+", default=["832*480", "1280*720"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; default: the current folder")
    parser.add_argument(
        "--update_docs", action="store_true", help="write the table into docs/reliability.md and .zh.md"
    )
    args = parser.parse_args(argv)
    lines = [
        f"| run | size | resume file | copied after a step | the run waits, median of {args.repeats} "
        f"| a step on one {GPU}, computed | share | written beside the next step in |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in args.size:
        for name, flags in RUNS.items():
            job = prepare(parse_request(["--task", args.task, "--size", size, "--prompt", "x", *flags]))
            lines.append(_row(name, size, job, repeats=args.repeats, folder=args.folder or Path.cwd()))
            print(lines[-1])
    if args.update_docs:
        for page in PAGES:
            text = replace_between(page.read_text(encoding="utf-8"), "\n".join(lines), begin=BEGIN, end=END)
            write_text_atomic(page, text)
            print(f"updated {page}")


def _row(name: str, size: str, job: Job, *, repeats: int, folder: Path) -> str:
    denoiser = published_size(job.config)
    count = carried_bytes(job.plan, denoiser, dtype_bytes=2)
    renewed = renewed_bytes(job.plan, denoiser, dtype_bytes=2)
    waits, writes = measured_seconds(count, renewed, repeats=repeats, folder=folder)
    full = price(job.plan, denoiser).plain
    step = full.flops / len(job.plan.steps) / (GPUS[GPU].peak * EFFICIENCY)
    cells = (
        name,
        size,
        f"{count / 1e6:,.0f} MB",
        f"{renewed / 1e6:,.0f} MB",
        f"{waits:.3f} s",
        f"{step:.1f} s",
        f"{waits / step:.2%}",
        f"{writes:.2f} s",
    )
    return "| " + " | ".join(cells) + " |"


def measured_seconds(count: int, renewed: int, *, repeats: int, folder: Path) -> tuple[float, float]:
    """Median seconds to copy what is ``renewed`` of a state of ``count`` bytes, for which a step waits, and to write
    the state, each replacing the one before."""
    import torch

    from wan.runs.host_copies import HostCopies
    from wan.runs.state_file import Packed

    kept = [torch.randn((count - renewed) // 4 + 1)]
    host, copies, writes = HostCopies(), [], []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".resume-") as place:
        for _ in range(repeats + 1):
            new = [torch.randn(renewed // 4 // 6 + 1) for _ in range(6)]
            start = perf_counter()
            packed = Packed.of({"kept": kept, "new": new}, copies=host)
            copied = perf_counter()
            packed.write(Path(place) / "resume.safetensors", run="measured")
            copies.append(copied - start)
            writes.append(perf_counter() - copied)
    return median(copies[1:]), median(writes[1:])


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
