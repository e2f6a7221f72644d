"""``wan compare``: shortcuts against the same-seed baseline, with errors, quality, motion, cost, videos and figures."""

from collections.abc import Sequence
from pathlib import Path

from wan.analysis.plots import require_plotting
from wan.commands import command_line, replay_line
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, make_parser, with_whole_paths
from wan.instruments.flags import add_measuring_flags, cases_from, first_of_several, measured_job
from wan.instruments.methods import (
    MODES,
    complete_shortcuts,
    complete_switches,
    controls_for,
    methods_for,
    mode_help,
)
from wan.job import open_job_checkpoint
from wan.loading.prompt_length import cut_notices
from wan.runs.writable import refuse_unwritable_folder
from wan.sampling.table import format_plan

DESCRIPTION = f"""\
Compare shortcuts with the same-seed baseline: errors, PSNR, SSIM, motion, cost, side-by-side videos and figures.

    {command_line("compare")}                                             CFG truncation 5 + 3, demo model
    {command_line("compare")} --comparison_mode half_vs_baseline --control
    {command_line("compare")} --comparison_mode combined_vs_baseline --prompt_file prompts.txt --seed 0 1 2
    {command_line("compare")} --from_runs outputs/BASELINE_RUN outputs/METHOD_RUN

Both sides start from the same noise. Videos are measured as decoded floats in [0, 1], before mp4 coding; with several
prompts or seeds the report gives mean, spread and the worst case with its picture. The same command continues a
comparison that was stopped.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    require_plotting()
    complete_switches(args)
    job, notices = complete_shortcuts(args.comparison_mode, measured_job(args, **first_of_several(args)))
    if args.from_runs:
        if args.control:
            raise InvalidInput("--from_runs runs nothing, and --control runs more; leave one of them out")
        from wan.instruments.compare_runs import compare_earlier_runs

        compare_earlier_runs(args.from_runs, job, print)
        return
    cases = cases_from(args, job)
    methods = methods_for(args.comparison_mode, job)
    checkpoint = open_job_checkpoint(job)
    # the small demo model can always afford to be held against its controls
    with_controls = args.control or job.config.bundled_checkpoint is not None
    everything = (*methods, *(controls_for(methods, checkpoint.denoiser_size) if with_controls else ()))
    cut = cut_notices(checkpoint, {f"--prompt {case.prompt[:20]!r}...": case.prompt for case in cases})
    for line in dict.fromkeys((*notices, *(notice for method in methods for notice in method.job.notices), *cut)):
        print(line)
    if args.dry_run:
        refuse_unwritable_folder(args.output_dir, flag="--output_dir")
        for method in everything:
            print(f"\n{method.title}\n{format_plan(method.plan)}")
        return
    # imported here: torch and the measuring libraries take seconds that --help and --dry_run need not wait for
    from wan.instruments.comparison import compare_and_write
    from wan.loading.models import check_weights

    check_weights(checkpoint)
    compare_and_write(
        job,
        everything,
        cases,
        checkpoint=checkpoint,
        output_dir=args.output_dir,
        overwrite=args.overwrite,
        about={
            "comparison_mode": args.comparison_mode,
            "command": replay_line("compare", *with_whole_paths(build_parser(), argv)),
        },
        show_progress=not args.quiet,
        say=print,
    )


def build_parser() -> Parser:
    parser = make_parser("compare", DESCRIPTION)
    groups = Groups(parser)
    group = groups["what to compare"]
    group.add_argument(
        "--comparison_mode", default="cfg_vs_baseline", choices=tuple(MODES), help=f"(%(default)s); {mode_help()}"
    )
    group.add_argument(
        "--control",
        action="store_true",
        help="also run the baseline again, another seed, and fewer plain steps at equal cost (always, on the demo "
        "model)",
    )
    group.add_argument("--dry_run", action="store_true", help="print the plans, load nothing")
    group.add_argument(
        "--from_runs",
        nargs=2,
        type=Path,
        metavar=("BASELINE", "METHOD"),
        help="compare two run folders made earlier instead of running anything (only the VAE is used)",
    )
    add_measuring_flags(groups, output_dir="comparison_outputs")
    return parser
