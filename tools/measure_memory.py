"""Measure the host memory of loading an expert, of whole runs and of a conversion, on a random checkpoint made here.

    python tools/measure_memory.py                                   two layers of A14B's width, 1.8 GB per expert
    python tools/measure_memory.py --gigabytes 4 --stored float32 --output memory.json

The checkpoint has the official layout, t2v-A14B's names and widths and fewer layers; it is written to a temporary
folder and removed afterwards. Every figure comes from a fresh process. What the libraries take is measured by the same
process on a checkpoint of a few hundred KB, and subtracted. Linux only. Exit codes: 0; 2 for what cannot be measured
(one sentence); 1 for other failures.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from door import run_tool, tool_parser
from memory.synthetic import TINY, Sizes, official_sizes, refuse_full_disk, write_checkpoint
from memory.watch import Memory, refuse_other_systems
from wan.errors import InvalidInput, WanError
from wan.flags import Parser
from wan.instruments.bench.tables import markdown_table
from wan.models.devices import DTYPES, pick_device
from wan.runs import environment_versions, write_json_atomic
from wan.runs.folders import refuse_existing

TOOLS_DIR = Path(__file__).resolve().parent
PROBE = "memory.probe"
LOAD_LIMIT = 1.1
TEXT_LAYERS = 2
GB = 1e9
STORED = ("float32", "bfloat16")
_COLUMNS = (
    "measured",
    "stored in",
    "size GB",
    "allocated GB",
    "resident GB",
    "allocated / size",
    "resident / size",
    "claim",
    "of it libraries: allocated, resident GB",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRow:
    """One measurement. ``allowed``: how many times ``size_bytes`` it may take, None where nothing is claimed."""

    what: str
    stored: str
    size_bytes: int
    allowed: float | None
    peak: Memory
    libraries: Memory

    @property
    def allocated(self) -> int:
        """Beyond what the libraries take."""
        return self.peak.allocated - self.libraries.allocated

    @property
    def resident(self) -> int:
        """Beyond what the libraries take."""
        return self.peak.resident - self.libraries.resident

    @property
    def claim(self) -> str:
        if self.allowed is None:
            return "none"
        met = "met" if self.resident <= self.allowed * self.size_bytes else "NOT MET"
        return f"<= {self.allowed:g}: {met}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"allocated": self.allocated, "resident": self.resident, "claim": self.claim}


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    refuse_existing(args.output, flag="--output")
    refuse_other_systems()
    result = measure(args)
    print(format_result(result))
    if args.output:
        write_json_atomic(args.output, result | {"rows": [row.as_dict() for row in result["rows"]]})


def build_parser() -> Parser:
    parser = tool_parser("measure_memory.py", __doc__)
    parser.add_argument(
        "--gigabytes", type=float, default=2.0, help="size of one expert in --dtype, about: whole layers (%(default)s)"
    )
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="bfloat16", help="to load to (%(default)s)")
    parser.add_argument(
        "--stored",
        choices=STORED,
        nargs="+",
        default=list(STORED),
        help="what the experts are stored in; A14B is published in float32 (both, in turn)",
    )
    parser.add_argument(
        "--quantize", choices=("fp8", "int8"), nargs="*", default=[], help="also load an expert quantised (neither)"
    )
    parser.add_argument("--device", default="cpu", help="to load to (%(default)s)")
    parser.add_argument(
        "--work_dir", type=Path, default=Path(tempfile.gettempdir()), help="a disk, not memory (%(default)s)"
    )
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    return parser


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Everything that one call measures, with its rows."""
    sizes = sizes_for(args.gigabytes, DTYPES[args.dtype])
    pick_device(args.device)
    if not args.work_dir.is_dir():
        raise InvalidInput(f"--work_dir {args.work_dir} is not a folder; give one on a disk with free space")
    refuse_full_disk(args.work_dir, 2 * max(sizes.byte_count(DTYPES[stored]) for stored in args.stored))  # converted
    rows = [row for stored in args.stored for row in measure_stored(args, sizes, stored)]
    return {
        "layers": sizes.layers,
        "text_layers": sizes.text_layers,
        "dtype": args.dtype,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "versions": environment_versions(args.device),
        "rows": rows,
    }


def sizes_for(gigabytes: float, dtype: torch.dtype) -> Sizes:
    """A14B's widths with as many layers as come closest to ``gigabytes`` in ``dtype``."""
    one, two = (
        official_sizes(layers=layers, text_layers=TEXT_LAYERS).expert_elements() * dtype.itemsize for layers in (1, 2)
    )
    if not 0.9 * one <= gigabytes * GB < float("inf"):
        raise InvalidInput(f"--gigabytes {gigabytes:g} must be at least {one / GB:.1f}, which one layer takes")
    layers = 1 + max(0, round((gigabytes * GB - one) / (two - one)))
    return official_sizes(layers=layers, text_layers=TEXT_LAYERS)


def measure_stored(args: argparse.Namespace, sizes: Sizes, stored: str) -> Iterator[MemoryRow]:
    """Load one expert, two whole runs and a conversion, of experts that are stored in one dtype."""
    dtype = DTYPES[args.dtype]
    expert, text = (count * dtype.itemsize for count in (sizes.expert_elements(), sizes.text_elements()))
    small = expert - sizes.block_elements() * (dtype.itemsize - 1)
    wanted = (
        ("load", "loading one expert", expert, LOAD_LIMIT),
        *(
            (f"load-{how}", f"the same in {how}; size: a byte for each weight of the blocks", small, None)
            for how in args.quantize
        ),
        ("expert", "run, --offload expert; size: one expert + T5", expert + text, 1.0),
        ("none", "run, --offload none; size: both experts + T5", 2 * expert + text, None),
        ("convert", "conversion; size: the checkpoint as stored", sizes.byte_count(DTYPES[stored]), None),
    )
    with tempfile.TemporaryDirectory(prefix="wan-memory-", dir=args.work_dir.resolve()) as folder:
        tiny = write_checkpoint(Path(folder) / "tiny", TINY, stored=DTYPES[stored], on_bytes=lambda count: None)
        libraries = {probe: run_probe(probe, tiny, args) for probe, *_ in wanted}
        total = sizes.byte_count(DTYPES[stored])
        with tqdm(total=total, desc=f"writing {stored}", unit="B", unit_scale=True) as bar:
            large = write_checkpoint(Path(folder) / "large", sizes, stored=DTYPES[stored], on_bytes=bar.update)
        for probe, what, size, allowed in wanted:
            yield MemoryRow(
                what=what,
                stored=stored,
                size_bytes=size,
                allowed=allowed,
                peak=run_probe(probe, large, args),
                libraries=libraries[probe],
            )


def run_probe(what: str, ckpt_dir: Path, args: argparse.Namespace) -> Memory:
    """The peaks of one measurement in a fresh process; ``WanError`` with its last line when it fails."""
    argv = [what, str(ckpt_dir), args.dtype, args.device, str(ckpt_dir.parent)]
    command = [sys.executable, "-m", PROBE, *argv]
    answer = subprocess.run(command, cwd=TOOLS_DIR, capture_output=True, text=True, check=False)
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[-1]
        raise WanError(f"the measurement {what!r} ended with {reason}")
    return Memory(**json.loads(answer.stdout.splitlines()[-1]))


def format_result(result: dict[str, Any]) -> str:
    """A Markdown table, ready for docs/benchmarks.md."""
    return "\n".join(
        [
            f"Two experts of A14B's width with {result['layers']} layers, umT5-xxl's width with "
            f"{result['text_layers']} layers, loaded as {result['dtype']} on {result['device']}, "
            f"{result['threads']} threads",
            "",
            *markdown_table(_COLUMNS, [_cells(row) for row in result["rows"]]),
        ]
    )


def _cells(row: MemoryRow) -> list[str]:
    return [
        row.what,
        row.stored,
        f"{row.size_bytes / GB:.2f}",
        f"{row.allocated / GB:.2f}",
        f"{row.resident / GB:.2f}",
        f"{row.allocated / row.size_bytes:.2f}",
        f"{row.resident / row.size_bytes:.2f}",
        row.claim,
        f"{row.libraries.allocated / GB:.2f}, {row.libraries.resident / GB:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(run_tool("measure_memory.py", main))
