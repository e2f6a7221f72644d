"""``wan bench arena``: many methods on many clips of one checkpoint, quality against cost, from a YAML suite."""

from collections.abc import Sequence
from pathlib import Path

from wan.analysis.plots import require_plotting
from wan.commands import command_line
from wan.flags import Groups, Parser, add_flags, make_parser, values_of
from wan.instruments.arena.contestants import contestants_for, format_suite, suite_job
from wan.instruments.arena.suite import load_suite, suite_names
from wan.job import open_job_checkpoint
from wan.limits import MAX_THREADS, check_count
from wan.loading.prompt_length import cut_notices
from wan.machine import Machine
from wan.request import Request
from wan.runs.writable import refuse_unwritable_folder
from wan.texts import path_text

_MACHINE = ("device", "dtype", "attention", "offload", "ignore_memory_check")
DEFAULT_OUTPUT_DIR = Path("arena_outputs")
DESCRIPTION = f"""\
Measure many methods on the same clips of one checkpoint: quality against cost, with the Pareto front.

    {command_line("bench arena")} --suite quick --dry_run     what it would make, and its price
    {command_line("bench arena")} --suite quick               the demo model, a few minutes on two cores
    {command_line("bench arena")} --suite full                36 held-out clips, every peer, hours
    {command_line("bench arena")} --suite my_suite.yaml --ckpt_dir DIR

Every method makes every clip from the noise of the plain plan. The cost of a method is the FLOPs that its transformer
blocks really executed, relative to the plain plan; its fidelity is PSNR, SSIM and motion against the plain plan's clip.
On the demo model, whose ground truth is known, a detector and a Frechet distance to rendered clips say besides how
true the clips are to their captions. The same command continues an arena that was interrupted.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    require_plotting()
    if args.threads is not None:
        check_count("--threads", args.threads, most=MAX_THREADS)
    suite = load_suite(args.suite)
    request = Request(ckpt_dir=args.ckpt_dir, machine=Machine(**values_of(Machine, args)))
    job = suite_job(suite, request)
    checkpoint = open_job_checkpoint(job)
    refuse_unwritable_folder(args.output_dir, flag="--output_dir")
    texts = {f"the prompt {case.prompt[:20]!r}...": case.prompt for case in suite.cases}
    for notice in cut_notices(checkpoint, texts):
        print(notice)
    if args.dry_run:
        print(format_suite(suite, contestants_for(suite, job), checkpoint.denoiser_size))
        return
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    from wan.instruments.arena.arena import run_arena  # takes seconds that --help need not wait for
    from wan.loading.models import check_weights

    check_weights(checkpoint)
    run_arena(
        suite,
        job,
        checkpoint,
        parent=args.output_dir,
        make_missing=not args.table_only,
        show_progress=not args.quiet,
        say=print,
    )


def build_parser() -> Parser:
    parser = make_parser("bench arena", DESCRIPTION)
    groups = Groups(parser)
    parser.add_argument(
        "--suite", default="quick", type=path_text, help=f"a YAML file, or {', '.join(suite_names())} (%(default)s)"
    )
    parser.add_argument("--ckpt_dir", type=Path, help="checkpoint folder (the demo model brings its own)")
    parser.add_argument(
        "--dry_run", action="store_true", help="print clips, methods and their planned price, load nothing"
    )
    parser.add_argument(
        "--table_only",
        action="store_true",
        help="make no video: tables and figure of the clips that all methods have made",
    )
    parser.add_argument(
        "--output_dir", type=Path, default=DEFAULT_OUTPUT_DIR, help="a folder per suite is made in here (%(default)s)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_flags(groups, Machine, leave_out=[name for name in Machine.__dataclass_fields__ if name not in _MACHINE])
    return parser
