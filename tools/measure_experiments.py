"""Measure the founding documents' open experiments on the demo model: the tables of docs/open-experiments.md.

    python tools/benchmark.py arena --suite experiments             half of the frames in the middle of a run
    python tools/measure_experiments.py --experiment spectrum       where half of the frames suffice, by their spectrum
    python tools/measure_experiments.py --experiment partial        forwards that compute a part of the tokens
    python tools/measure_experiments.py --experiment windows        which steps can lose their second guidance pass

What is searched is searched on training clips (--clips); what is reported, on held-out ones (--report_clips).
"""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from door import run_tool, tool_parser
from experiments import partial, spectrum, windows
from experiments.bench import HELD_OUT, TRAINING, Bench, clips_for
from wan.errors import InvalidInput
from wan.flags import Parser

NAME = "measure_experiments.py"
MAX_CLIPS = 36


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    _refuse_bad_values(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    with tqdm(desc=args.experiment, unit="part") as bar:
        text = EXPERIMENTS[args.experiment](args, bar.update)
    print(text)


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--experiment", choices=tuple(EXPERIMENTS), required=True, help="what to measure")
    parser.add_argument("--clips", type=int, default=9, help="training clips that are searched on (%(default)s)")
    parser.add_argument("--report_clips", type=int, default=MAX_CLIPS, help="held-out clips (%(default)s)")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="spectrum: share of the changes that counts as something (0.05)"
    )
    parser.add_argument("--window", type=int, default=4, help="spectrum: steps with half of the frames (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    return parser


def _refuse_bad_values(args: Namespace) -> None:
    for name in ("clips", "report_clips"):
        if not 1 <= getattr(args, name) <= MAX_CLIPS:
            raise InvalidInput(f"--{name} {getattr(args, name)} must be from 1 to {MAX_CLIPS}")
    if args.window < 1:
        raise InvalidInput(f"--window {args.window} must be at least 1")
    if args.threads is not None and args.threads < 1:
        raise InvalidInput(f"--threads {args.threads} must be at least 1")
    if not 0.0 < args.tolerance < 1.0:
        raise InvalidInput(f"--tolerance {args.tolerance:g} must be between 0 and 1")


def _spectrum(args: Namespace, tick: Callable[[], object]) -> str:
    bench = Bench(clips_for(TRAINING, args.clips))
    return spectrum.measure(bench, tolerance=args.tolerance, window=args.window, tick=tick)


def _partial(args: Namespace, tick: Callable[[], object]) -> str:
    return partial.measure(Bench(clips_for(HELD_OUT, args.report_clips)), tick=tick)


def _windows(args: Namespace, tick: Callable[[], object]) -> str:
    search, report = (Bench(clips_for(*one)) for one in ((TRAINING, args.clips), (HELD_OUT, args.report_clips)))
    return windows.measure(search, report, tick=tick)


EXPERIMENTS: dict[str, Callable[[Namespace, Callable[[], object]], str]] = {
    "spectrum": _spectrum,
    "partial": _partial,
    "windows": _windows,
}


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
