"""One comparison from its methods to its folder: every case run and measured, then report, data and figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wan.analysis.comparison import CaseResult, Yardsticks, finite, summarise, verdicts
from wan.analysis.comparison_files import DATA_NAME, REPORT_NAME
from wan.analysis.comparison_plots import plot_cases, plot_divergence
from wan.analysis.comparison_report import format_controls, format_method
from wan.commands import command_line
from wan.instruments.arena.store import digest_of, identity_of
from wan.instruments.compare import Comparer
from wan.instruments.flags import Case
from wan.instruments.methods import OTHER_SEED, Method, fewer_steps_name, steps_of_equal_cost
from wan.instruments.unfinished import begin_or_continue
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.runs import write_json_atomic, write_text_atomic
from wan.sampling.price import DenoiserSize
from wan.session import Session

CASES_FIGURE, DRIFT_FIGURE = "cases.png", "latent_divergence.png"


def compare_and_write(
    job: Job,
    methods: Sequence[Method],
    cases: Sequence[Case],
    *,
    checkpoint: Checkpoint,
    output_dir: Path,
    overwrite: bool,
    about: Mapping[str, str],
    show_progress: bool,
    say: Callable[[str], None],
) -> None:
    """Run the baseline (the first method) and the others on every case, and write what came out; says the report.

    ``about`` (comparison_mode, command) is kept with the data. A comparison that was stopped goes on in its folder.
    """
    decided = [(method.name, method.plan, method.settings, method.seed_shift) for method in methods]
    identity = digest_of([identity_of(checkpoint, job.request.machine), decided, cases, job.negative_prompt])
    with begin_or_continue(output_dir, flag="--output_dir", identity=identity, overwrite=overwrite) as work:
        say(
            f"{len(cases)} x {len(methods)} runs ({', '.join(method.name for method in methods)}) into {work.directory}"
        )
        session = Session(job, checkpoint=checkpoint, show_progress=show_progress)
        session.warm_up((method.plan for method in methods), prompt=cases[0].prompt)
        results = Comparer(session=session, methods=methods, cases=cases, work=work, say=say).run()
        unknown = unknown_words(session, cases)
        _Writer(methods, results, size=checkpoint.denoiser_size, unknown=unknown, about=about).write(
            work.directory, say
        )
        work.finish()


def unknown_words(session: Session, cases: Sequence[Case]) -> tuple[str, ...]:
    """The words of the prompts that the model's tokenizer does not know (only a closed vocabulary has any)."""
    prompts = dict.fromkeys(case.prompt for case in cases)
    return tuple(dict.fromkeys(word for prompt in prompts for word in session.pipeline.unknown_words(prompt)))


class _Writer:
    """Report, data and figures of a comparison over all cases."""

    def __init__(
        self,
        methods: Sequence[Method],
        results: Mapping[str, Sequence[CaseResult]],
        *,
        size: DenoiserSize,
        unknown: Sequence[str],
        about: Mapping[str, str],
    ) -> None:
        self._baseline, *self._others = methods
        self._size = size
        self._results, self._unknown, self._about = results, unknown, about
        self._summaries = {name: summarise(cases) for name, cases in results.items()}

    def write(self, directory: Path, say: Callable[[str], None]) -> None:
        """Write everything, and say the report."""
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
        title = f"{self._about['comparison_mode']}: every case against its same-seed baseline"
        plot_cases(directory / CASES_FIGURE, self._results, title=title)
        say(f"\n{text}\nresults: {directory} (report: {command_line('report', directory)})")

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
            **self._about,
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
