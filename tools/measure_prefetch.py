"""What the switch of experts takes of a run, with and without prefetching, on a random checkpoint made here.

    python tools/measure_prefetch.py                       two layers of A14B's width, 1.8 GB per expert
    python tools/measure_prefetch.py --update_docs

The checkpoint has the official layout, t2v-A14B's names and widths and fewer layers; it is removed afterwards. Each run
is a process of its own, after its weights have left the disk's cache. Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tqdm import tqdm

from door import run_tool, tool_parser
from claims.documents import replace_between
from memory.synthetic import TASK, official_sizes, refuse_full_disk, write_checkpoint
from memory.watch import refuse_other_systems
from wan.commands import SOURCE_DIR
from wan.errors import WanError
from wan.memory import GIB
from wan.models.devices import DTYPES
from wan.runs import load_record, write_text_atomic

NAME = "measure_prefetch.py"
PAGES = (SOURCE_DIR / "docs" / "scale.md", SOURCE_DIR / "docs" / "scale.zh.md")
BEGIN, END = "<!-- prefetch:begin -->", "<!-- prefetch:end -->"
DTYPE = "bfloat16"
HEADER = ("| --prefetch_gib | switch | steps | the switch's share of both |", "|---|---:|---:|---:|")


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    refuse_other_systems()
    sizes = official_sizes(layers=args.layers, text_layers=1)
    refuse_full_disk(args.work_dir, sizes.byte_count(DTYPES[args.stored]))
    gib = sizes.expert_elements() * DTYPES[DTYPE].itemsize / GIB
    lines = [*HEADER]
    with tempfile.TemporaryDirectory(prefix="wan-prefetch-", dir=args.work_dir.resolve()) as folder:
        total = sizes.byte_count(DTYPES[args.stored])
        with tqdm(total=total, desc="writing", unit="B", unit_scale=True) as bar:
            checkpoint = write_checkpoint(
                Path(folder) / "weights", sizes, stored=DTYPES[args.stored], on_bytes=bar.update
            )
        for limit in (0.0, float(int(gib) + 1)):
            runs = [
                _timing(checkpoint, Path(folder) / f"{limit:g}-{number}", limit, args) for number in range(args.repeats)
            ]
            switch, steps = median(run[0] for run in runs), median(run[1] for run in runs)
            lines.append(f"| {limit:g} | {switch:.2f} s | {steps:.2f} s | {switch / (switch + steps):.1%} |")
            print(lines[-1])
    if args.update_docs:
        made = "\n".join(lines)
        what = (
            f"Experts of {gib:.1f} GiB, {args.steps} steps at {args.size}, 9 frames, median of {args.repeats} runs.\n\n"
        )
        for page in PAGES:
            text = replace_between(page.read_text(encoding="utf-8"), what + made, begin=BEGIN, end=END)
            write_text_atomic(page, text)
            print(f"updated {page}")


def build_parser() -> argparse.ArgumentParser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--layers", type=int, default=2, help="of each expert (%(default)s)")
    parser.add_argument(
        "--stored", choices=("float32", "bfloat16"), default="float32", help="as published (%(default)s)"
    )
    parser.add_argument("--size", default="256*128", help="of the video (%(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="denoising steps (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind (%(default)s)")
    parser.add_argument(
        "--work_dir", type=Path, default=Path(tempfile.gettempdir()), help="a disk, not memory (%(default)s)"
    )
    parser.add_argument("--update_docs", action="store_true", help="write the table into docs/scale.md and .zh.md")
    return parser


def _timing(checkpoint: Path, outputs: Path, limit: float, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of the switch and of all steps of one run."""
    for file in checkpoint.rglob("*"):
        if file.is_file():
            _leave_cache(file)
    flags = {
        "task": TASK, "ckpt_dir": str(checkpoint), "prompt": "two dogs", "size": args.size, "frame_num": "9",
        "sample_steps": str(args.steps), "base_seed": "0", "device": "cpu", "dtype": DTYPE, "offload": "expert",
        "prefetch_gib": f"{limit:g}", "output_dir": str(outputs),
    }  # fmt: skip
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    command = [sys.executable, str(SOURCE_DIR / "generate.py"), *words, "--no_resume_file", "--quiet"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise WanError(f"the run ended with {(answer.stderr.strip().splitlines() or ['no message'])[-1]}")
    (run,) = outputs.iterdir()
    timing = load_record(run)["timing"]
    return timing["expert_switch"], sum(timing["steps"])


def _leave_cache(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
