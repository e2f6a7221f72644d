"""``wan compare``: shortcuts against the same-seed baseline, with errors, quality, motion, cost, videos and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wan.analysis.comparison import CaseResult, Yardsticks, finite, summarise, verdicts
from wan.analysis.comparison_plots import plot_cases, plot_divergence
from wan.analysis.comparison_report import format_controls, format_method
from wan.analysis.plots import require_plotting
from wan.commands import command_line
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, make_parser
from wan.instruments.compare import Comparer
from wan.instruments.compare_runs import compare_earlier_runs
from wan.instruments.flags import Case, add_measuring_flags, cases_from, first_of_several, measured_job
from wan.instruments.methods import (
    MODES,
    OTHER_SEED,
    Method,
    complete_shortcuts,
    complete_switches,
    controls_for,
    fewer_steps_name,
    methods_for,
    mode_help,
    steps_of_equal_cost,
)
from wan.runs import write_json_atomic, write_text_atomic
from wan.runs.folders import claim_directory
from wan.sampling.price import DenoiserSize
from wan.sampling.table import format_plan
from wan.session import Session, open_job_checkpoint

REPORT_NAME, DATA_NAME = "error_comparison.txt", "error_comparison.json"
CASES_FIGURE, DRIFT_FIGURE = "cases.png", "latent_divergence.png"
DESCRIPTION = f"""\
Compare shortcuts with the same-seed baseline: errors, PSNR, SSIM, motion, cost, side-by-side videos and figures.

    {command_line("compare")}                                             CFG truncation 5 + 3, demo model
    {command_line("compare")} --comparison_mode half_vs_baseline --control
    {command_line("compare")} --comparison_mode combined_vs_baseline --prompt_file prompts.txt --seed 0 1 2
    {command_line("compare")} --from_runs outputs/BASELINE_RUN outputs/METHOD_RUN

Both sides start from the same noise. Videos are measured as decoded floats in [0, 1], before mp4 coding; with several
prompts or seeds the report gives mean, spread and the worst case with its picture.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    require_plotting()
    complete_switches(args)
    job, notices = complete_shortcuts(args.comparison_mode, measured_job(args, **first_of_several(args)))
    if args.from_runs:
        if args.control:
            raise InvalidInput("--from_runs runs nothing, and --control runs more; leave one of them out")
        compare_earlier_runs([Path(folder) for folder in args.from_runs], job, print)
        return
    cases = cases_from(args, job)
    methods = methods_for(args.comparison_mode, job)
    checkpoint = open_job_checkpoint(job)
    # the small demo model can always afford to be held against its controls
    with_controls = args.control or job.config.bundled_checkpoint is not None
    everything = (*methods, *(controls_for(methods, checkpoint.denoiser_size) if with_controls else ()))
    for line in dict.fromkeys((*notices, *(notice for method in methods for notice in method.job.notices))):
        print(line)
    if args.dry_run:
        for method in everything:
            print(f"\n{method.title}\n{format_plan(method.plan)}")
        return
    directory = claim_directory(args.output_dir, flag="--output_dir", overwrite=args.overwrite)
    print(f"{len(cases)} x {len(everything)} runs ({', '.join(method.name for method in everything)}) into {directory}")
    session = Session(job, checkpoint=checkpoint, show_progress=not args.quiet)
    session.warm_up((method.plan for method in everything), prompt=cases[0].prompt)
    results = Comparer(session=session, methods=everything, cases=cases, directory=directory, say=print).run()
    writer = _Writer(
        everything,
        results,
        size=checkpoint.denoiser_size,
        unknown=unknown_words(session, cases),
        mode=args.comparison_mode,
        argv=argv,
    )
    writer.write(directory)


def unknown_words(session: Session, cases: Sequence[Case]) -> tuple[str, ...]:
    """The words of the prompts that the model's tokenizer does not know (only a closed vocabulary has any)."""
    prompts = dict.fromkeys(case.prompt for case in cases)
    return tuple(dict.fromkeys(word for prompt in prompts for word in session.pipeline.unknown_words(prompt)))


class _Writer:
    """Report, data and the figures over all cases."""

    def __init__(
        self,
        methods: Sequence[Method],
        results: Mapping[str, Sequence[CaseResult]],
        *,
        size: DenoiserSize,
        unknown: Sequence[str],
        mode: str,
        argv: Sequence[str],
    ) -> None:
        self._baseline, *self._others = methods
        self._size = size
        self._results, self._unknown, self._mode, self._argv = results, unknown, mode, argv
        self._summaries = {name: summarise(cases) for name, cases in results.items()}

    def write(self, directory: Path) -> None:
        """Write everything; prints the report."""
        measured = {method.name: self._results[method.name] for method in self._others if not method.is_control}
        controls = {method.title: self._results[method.name] for method in self._others if method.is_control}
        reports = [
            format_method(method.title, self._results[method.name], yardsticks=self._yardsticks(method))
            for method in self._others
            if not method.is_control
        ]
        text = "\n\n".join([*reports, *([format_controls(controls)] if controls else [])]) + "\n"
        write_text_atomic(directory / REPORT_NAME, text)
        write_json_atomic(directory / DATA_NAME, self._data())
        experts = [step.expert.value for step in self._baseline.plan.steps]
        plot_divergence(directory / DRIFT_FIGURE, measured, experts)
        title = f"{self._mode}: every case against its same-seed baseline"
        plot_cases(directory / CASES_FIGURE, self._results, title=title)
        print(f"\n{text}\nresults: {directory} (report: {command_line('report', directory)})")

    def _yardsticks(self, method: Method) -> Yardsticks:
        steps = steps_of_equal_cost(method.plan, self._baseline, self._size)
        if any(method.is_control for method in self._others):
            missing = "not run: the method saves less than one step"
        else:
            missing = Yardsticks().missing
        return Yardsticks(
            missing=missing,
            other_seed=self._summaries.get(OTHER_SEED),
            fewer_steps=self._summaries.get(fewer_steps_name(steps)),
            fewer_steps_title=f"{steps} of {len(self._baseline.plan.steps)}",
            unknown_words=self._unknown,
        )

    def _data(self) -> dict[str, Any]:
        return {
            "comparison_mode": self._mode,
            "command": command_line("compare", *self._argv),
            "unknown_words": list(self._unknown),
            "sides": {method.name: self._method_data(method) for method in (self._baseline, *self._others)},
        }

    def _method_data(self, method: Method) -> dict[str, Any]:
        data: dict[str, Any] = {
            "title": method.title,
            "is_control": method.is_control,
            "steps": len(method.plan.steps),
        }
        if method.name in self._results:
            summary = self._summaries[method.name]
            data["summary"] = {name: finite(asdict(spread)) for name, spread in summary.items()}
            data["cases"] = [result.as_dict() for result in self._results[method.name]]
            if not method.is_control:
                data["verdicts"] = [asdict(found) for found in verdicts(summary, self._yardsticks(method))]
        return data


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
        metavar=("BASELINE", "METHOD"),
        help="compare two run folders made earlier instead of running anything (only the VAE is used)",
    )
    add_measuring_flags(groups, output_dir="comparison_outputs")
    return parser
