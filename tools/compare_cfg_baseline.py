"""Compare shortcuts with the same-seed baseline: errors, PSNR, SSIM, motion, cost, side-by-side videos and figures.

    python tools/compare_cfg_baseline.py                                             CFG truncation 5 + 3, demo model
    python tools/compare_cfg_baseline.py --comparison_mode half_vs_baseline --control
    python tools/compare_cfg_baseline.py --comparison_mode combined_vs_baseline --prompt_file prompts.txt --seed 0 1 2
    python tools/compare_cfg_baseline.py --from_runs outputs/BASELINE_RUN outputs/METHOD_RUN

Both sides start from the same noise. Videos are measured as decoded floats in [0, 1], before mp4 coding; with several
prompts or seeds the report gives mean, spread and the worst case with its picture. docs/experiments.md explains it all.
"""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wan.analysis.comparison import CaseResult, finite, summarise, verdicts
from wan.analysis.comparison_plots import plot_cases, plot_divergence
from wan.analysis.comparison_report import format_controls, format_method
from wan.analysis.plots import require_plotting
from wan.instruments.comparing import Comparer
from wan.instruments.earlier_runs import compare_earlier_runs
from wan.instruments.flags import (
    add_common_flags,
    add_request_flags,
    cases_from,
    make_options,
    parse_flags,
    run_tool,
    tool_parser,
)
from wan.instruments.methods import MODES, Side, complete_flags, controls_for, mode_help, sides_for
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.options import Parser
from wan.runs import write_json_atomic, write_text_atomic
from wan.runs.results import claim_directory
from wan.sampling.table import format_plan
from wan.session import Session

NAME = "compare_cfg_baseline.py"
REPORT_NAME, DATA_NAME = "error_comparison.txt", "error_comparison.json"
CASES_FIGURE, DRIFT_FIGURE = "cases.png", "latent_divergence.png"


def main(argv: Sequence[str]) -> None:
    args = parse_flags(build_parser(), argv)
    require_plotting()
    if args.from_runs:
        compare_earlier_runs(args, print)
        return
    notices = complete_flags(args)
    cases = cases_from(args)
    options = make_options(args, prompt=cases[0].prompt)
    sides = sides_for(args.comparison_mode, options)
    checkpoint = open_checkpoint(options.config, find_checkpoint_dir(options.config, options.ckpt_dir))
    everything = (*sides, *(controls_for(sides, checkpoint.denoiser_size, options) if args.control else ()))
    for line in (*notices, *options.notices, *(notice for side in sides for notice in side.plan.notices)):
        print(line)
    if args.dry_run:
        for side in everything:
            print(f"\n{side.title}\n{format_plan(side.plan)}")
        return
    directory = claim_directory(options.output_dir, flag="--output_dir", overwrite=options.overwrite)
    print(f"{len(cases)} x {len(everything)} runs ({', '.join(side.name for side in everything)}) into {directory}")
    session = Session(options, show_progress=not options.quiet)
    session.warm_up((side.plan for side in everything), prompt=cases[0].prompt)
    results = Comparer(
        session=session,
        checkpoint=checkpoint,
        sides=everything,
        cases=cases,
        directory=directory,
        report=print,
    ).run()
    write_results(directory, args.comparison_mode, everything, results, argv)


def write_results(
    directory: Path, mode: str, sides: Sequence[Side], results: Mapping[str, Sequence[CaseResult]], argv: Sequence[str]
) -> None:
    """Report, data and the figures over all cases; prints the report."""
    methods = {side.name: results[side.name] for side in sides[1:] if not side.is_control}
    controls = {side.title: results[side.name] for side in sides if side.is_control}
    reports = [format_method(side.title, results[side.name]) for side in sides if side.name in methods]
    text = "\n\n".join([*reports, *([format_controls(controls)] if controls else [])]) + "\n"
    write_text_atomic(directory / REPORT_NAME, text)
    write_json_atomic(directory / DATA_NAME, _data(mode, sides, results, argv))
    experts = [step.expert.value for step in sides[0].plan.steps]
    plot_divergence(directory / DRIFT_FIGURE, methods, experts)
    plot_cases(directory / CASES_FIGURE, results, title=f"{mode}: every case against its same-seed baseline")
    print(f"\n{text}\nresults: {directory} (report: python tools/report.py {directory})")


def _data(
    mode: str, sides: Sequence[Side], results: Mapping[str, Sequence[CaseResult]], argv: Sequence[str]
) -> dict[str, Any]:
    return {
        "comparison_mode": mode,
        "command": shlex.join(["python", f"tools/{NAME}", *argv]),
        "sides": {side.name: _side_data(side, results.get(side.name, ())) for side in sides},
    }


def _side_data(side: Side, results: Sequence[CaseResult]) -> dict[str, Any]:
    data: dict[str, Any] = {"title": side.title, "is_control": side.is_control, "steps": len(side.plan.steps)}
    if results:
        summary = summarise(results)
        data["summary"] = {name: finite(asdict(s)) for name, s in summary.items()}
        data["cases"] = [result.as_dict() for result in results]
        if not side.is_control:
            data["verdicts"] = [
                {"rule": verdict.rule, "measured": verdict.measured, "met": verdict.met}
                for verdict in verdicts(summary)
            ]
    return data


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    group = parser.add_argument_group("what to compare")
    group.add_argument(
        "--comparison_mode", default="cfg_vs_baseline", choices=tuple(MODES), help=f"(%(default)s); {mode_help()}"
    )
    group.add_argument(
        "--control",
        action="store_true",
        help="also run the baseline again, another seed, and fewer plain steps at equal cost",
    )
    group.add_argument("--dry_run", action="store_true", help="print the plans, load nothing")
    group.add_argument(
        "--from_runs",
        nargs=2,
        metavar=("BASELINE", "METHOD"),
        help="compare two run folders made earlier instead of running anything (only the VAE is used)",
    )
    add_request_flags(parser.add_argument_group("what to generate"))
    add_common_flags(parser, output_dir="comparison_outputs")
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
