"""What the switch of experts takes of a run, with and without prefetching, and of a batch, whose videos can share it.

    python tools/measure_prefetch.py                       two layers of A14B's width, 1.8 GB per expert
    python tools/measure_prefetch.py --part batch --update_docs

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
from time import perf_counter
from typing import Any

from tqdm import tqdm

from door import run_tool, tool_parser
from claims.documents import replace_between
from memory.synthetic import TASK, official_sizes, refuse_full_disk, write_checkpoint
from memory.watch import refuse_other_systems
from wan.commands import SOURCE_DIR
from wan.errors import WanError
from wan.memory import GIB
from wan.models.devices import DTYPES
from wan.runs import RECORD_NAME, load_record, write_text_atomic

NAME = "measure_prefetch.py"
DOCS = SOURCE_DIR / "docs"
PARTS = {
    part: (DOCS / f"{page}.md", DOCS / f"{page}.zh.md") for part, page in (("prefetch", "scale"), ("switches", "batch"))
}
VIDEOS = 4
DTYPE = "bfloat16"


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    refuse_other_systems()
    sizes = official_sizes(layers=args.layers, text_layers=1)
    refuse_full_disk(args.work_dir, sizes.byte_count(DTYPES[args.stored]))
    gib = sizes.expert_elements() * DTYPES[DTYPE].itemsize / GIB
    with tempfile.TemporaryDirectory(prefix="wan-prefetch-", dir=args.work_dir.resolve()) as folder:
        total = sizes.byte_count(DTYPES[args.stored])
        with tqdm(total=total, desc="writing", unit="B", unit_scale=True) as bar:
            checkpoint = write_checkpoint(
                Path(folder) / "weights", sizes, stored=DTYPES[args.stored], on_bytes=bar.update
            )
        for part in args.part or PARTS:
            lines = {"prefetch": _prefetching, "switches": _sharing}[part](checkpoint, Path(folder), gib, args)
            print("\n".join(lines))
            for page in PARTS[part] if args.update_docs else ():
                begin, end = (f"<!-- {part}:{edge} -->" for edge in ("begin", "end"))
                text = replace_between(page.read_text(encoding="utf-8"), "\n".join(lines), begin=begin, end=end)
                write_text_atomic(page, text)
                print(f"updated {page}")


def build_parser() -> argparse.ArgumentParser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure this part alone; may be repeated")
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
    parser.add_argument(
        "--update_docs", action="store_true", help="write the tables into docs/scale.md, docs/batch.md, .zh.md"
    )
    return parser


def _prefetching(checkpoint: Path, folder: Path, gib: float, args: argparse.Namespace) -> list[str]:
    """A row for each limit: the seconds of the switch and of all steps of one run."""
    lines = [
        f"Experts of {gib:.1f} GiB, {args.steps} steps at {args.size}, 9 frames, median of {args.repeats} runs.",
        "",
        "| --prefetch_gib | switch | steps | the switch's share of both |",
        "|---|---:|---:|---:|",
    ]
    for limit in (0.0, float(int(gib) + 1)):
        flags = {"prompt": "two dogs", "prefetch_gib": f"{limit:g}", "base_seed": "0"}
        timings = [
            _timings(["generate.py", *_words(checkpoint, args, **flags), "--no_resume_file"], folder, checkpoint)[1][0]
            for _ in range(args.repeats)
        ]
        switch = median(timing["expert_switch"] for timing in timings)
        steps = median(sum(timing["steps"]) for timing in timings)
        lines.append(f"| {limit:g} | {switch:.2f} s | {steps:.2f} s | {switch / (switch + steps):.1%} |")
    return lines


def _sharing(checkpoint: Path, folder: Path, gib: float, args: argparse.Namespace) -> list[str]:
    """A row for a batch that switches for every video, and one for a batch that switches once."""
    requests = folder / "prompts.txt"
    requests.write_text("".join(f"two dogs, number {number}\n" for number in range(VIDEOS)), encoding="utf-8")
    lines = [
        f"{VIDEOS} videos, experts of {gib:.1f} GiB, {args.steps} steps at {args.size}, 9 frames, one run of each.",
        "",
        "| --videos_per_switch | reading experts | steps | the whole command |",
        "|---|---:|---:|---:|",
    ]
    for count in (1, VIDEOS):
        words = ["-m", "wan", "batch", str(requests), *_words(checkpoint, args), "--videos_per_switch", str(count)]
        seconds, timings = _timings(words, folder, checkpoint)
        reading = sum(timing["model_load"] + timing["expert_switch"] for timing in timings)
        steps = sum(sum(timing["steps"]) for timing in timings)
        lines.append(f"| {count} | {reading:.1f} s | {steps:.1f} s | {seconds:.1f} s |")
    return lines


def _words(checkpoint: Path, args: argparse.Namespace, **more: str) -> list[str]:
    flags = {
        "task": TASK, "ckpt_dir": str(checkpoint), "size": args.size, "frame_num": "9", "dtype": DTYPE,
        "sample_steps": str(args.steps), "device": "cpu", "offload": "expert", **more,
    }  # fmt: skip
    return [word for name, value in flags.items() for word in (f"--{name}", value)]


def _timings(words: Sequence[str], folder: Path, checkpoint: Path) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of a command whose weights come from the disk, and the timings of the runs that it made."""
    for file in checkpoint.rglob("*"):
        if file.is_file():
            _leave_cache(file)
    with tempfile.TemporaryDirectory(dir=folder) as outputs:
        command, start = [sys.executable, *words, "--output_dir", outputs, "--quiet"], perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SOURCE_DIR)
        if answer.returncode:
            raise WanError(f"the run ended with {(answer.stderr.strip().splitlines() or ['no message'])[-1]}")
        seconds = perf_counter() - start
        return seconds, [load_record(record.parent)["timing"] for record in Path(outputs).glob(f"*/{RECORD_NAME}")]


def _leave_cache(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
