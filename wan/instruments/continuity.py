"""Makes the latents that a continuity analysis needs, measures them, and writes figures and statistics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from wan.analysis.continuity_plots import plot_continuity, plot_sweep, plot_switch
from wan.analysis.continuity_run import ContinuityRun, compare_runs, format_statistics, format_steps, measure_run
from wan.analysis.probe import LatentsDump
from wan.errors import InvalidInput
from wan.instruments.reproduce import generate_argv
from wan.options import Options
from wan.runs import reproduce_command, write_json_atomic
from wan.runs.debug_latents import (
    DEBUG_DTYPES,
    LATENTS_FOLDER,
    debug_latents_bytes,
    iterate_debug_steps,
    refuse_full_disk,
)
from wan.sampling.plan import Plan
from wan.session import Session

FIGURE_NAME, SWITCH_FIGURE, COMPARE_FIGURE = "continuity_analysis.png", "expert_switch.png", "continuity_comparison.png"
STATISTICS_NAME, SWEEP_FIGURE, SWEEP_NAME = (
    "continuity_statistics.json",
    "continuity_sweep.png",
    "continuity_sweep.json",
)
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One run to make and measure; ``name`` is its folder in a sweep."""

    name: str
    options: Options
    plan: Plan
    seed: int

    @property
    def title(self) -> str:
        geometry = self.plan.geometry
        half = "" if self.plan.frame_completion is None else f", half-frame ({self.plan.frame_completion})"
        return (
            f"{self.options.prompt!r}, seed {self.seed}, {geometry.pixel_frames} frames = {geometry.latent_frames} "
            f"latent frames{half}"
        )


def analyse_job(job: Job, session: Session, directory: Path, *, space: str, report: Report) -> ContinuityRun:
    """Sample with every step on disk, then measure."""
    folder = directory / LATENTS_FOLDER
    elements = [prod(job.plan.geometry.latent_shape(step.latent_frames)) for step in job.plan.steps]
    size = debug_latents_bytes(elements, DEBUG_DTYPES["float32"])
    refuse_full_disk(folder, size, flag="--output_dir")
    report(f"{job.title}: {size / 1e6:,.1f} MB of latents go to {folder}")
    session.sample(job.plan, prompt=job.options.prompt, seed=job.seed, observers=[LatentsDump(folder)])
    about = {
        "task": job.options.config.name,
        "prompt": job.options.prompt,
        "seed": job.seed,
        "command": reproduce_command(generate_argv(job.options), seed=job.seed),
    }
    return analyse_folder(folder, directory, space=space, title=job.title, report=report, about=about)


def analyse_folder(
    folder: Path, directory: Path, *, space: str, title: str, report: Report, about: dict[str, Any] | None = None
) -> ContinuityRun:
    """Measure the debug latents in ``folder``; figures, statistics and tables."""
    run = _measured(folder)
    write_json_atomic(
        directory / STATISTICS_NAME,
        {"run": (about or {}) | {"debug_latents": str(folder)}, "shown_space": space} | run.as_dict(),
    )
    plot_continuity(directory / FIGURE_NAME, {"this run": run}, space, title=title)
    plot_switch(directory / SWITCH_FIGURE, {"this run": run}, title=title)
    report(f"\n{format_steps(run, space)}\n\n{format_statistics(run, space)}")
    return run


def compare_with(
    run: ContinuityRun, reference_folder: Path, directory: Path, *, space: str, names: tuple[str, str], report: Report
) -> None:
    """Overlay two runs, and say how many steps after frame completion their curves meet again."""
    reference = _measured(reference_folder)
    runs = dict(zip(names, (run, reference), strict=True))
    plot_continuity(directory / COMPARE_FIGURE, runs, space, title=f"{names[0]} against {names[1]}")
    plot_switch(directory / SWITCH_FIGURE, runs, title=f"{names[0]} against {names[1]}")
    result = compare_runs(run, reference, space)
    write_json_atomic(
        directory / "continuity_comparison.json",
        {
            "reference": str(reference_folder),
            "space": space,
            "comparison": result,
            "reference_run": reference.as_dict(),
        },
    )
    report("\n" + _meeting_sentence(result, names[1]))


def sweep(jobs: Sequence[Job], session: Session, directory: Path, *, space: str, report: Report) -> None:
    """Every job in a folder of its own, and all of them in one figure."""
    runs = {job.name: analyse_job(job, session, directory / job.name, space=space, report=report) for job in jobs}
    labels = {_label(job): runs[job.name] for job in jobs}
    plot_sweep(
        directory / SWEEP_FIGURE, labels, space, title=f"{jobs[0].options.prompt!r}, seed {jobs[0].seed}: {space}"
    )
    write_json_atomic(directory / SWEEP_NAME, {"shown_space": space} | {n: run.as_dict() for n, run in runs.items()})
    report("\n" + _sweep_table(labels, space))
    report(f"\nresults: {directory}")


def _measured(folder: Path) -> ContinuityRun:
    try:
        return measure_run(iterate_debug_steps(folder))
    except ValueError as error:
        raise InvalidInput(f"{folder}: {error}") from error


def _label(job: Job) -> str:
    geometry, steps = job.plan.geometry, len(job.plan.steps)
    if job.name.startswith("frames_"):
        return f"{geometry.pixel_frames} frames ({geometry.latent_frames} latent)"
    return f"{steps} steps"


def _sweep_table(runs: dict[str, ContinuityRun], space: str) -> str:
    lines = [
        f"{'run':<24}  {'first step':>10}  {'at the switch':>13}  {'last step':>9}  {'final x0':>9}   MSE, {space}"
    ]
    for name, run in runs.items():
        curve = run.curve(space, "mse")
        middle = "-" if run.switch is None else f"{curve[run.switch - 1]:.4f}"
        lines.append(f"{name:<24}  {curve[0]:>10.4f}  {middle:>13}  {curve[-1]:>9.4f}  {run.final_x0_mse:>9.4f}")
    return "\n".join(lines)


def _meeting_sentence(result: dict[str, Any], name: str) -> str:
    if not result["comparable"]:
        return "the runs have different step counts: overlaid, but there is no common step to meet at"
    start, meeting = result["from_step"], result["steps_until_meeting"]
    where = f"from step {start} on (frame completion)" if start > 1 else "from the first step on"
    if meeting is None:
        end = "" if result["ratio_at_end"] is None else f"; at the end the ratio is {result['ratio_at_end']:.3f}"
        return f"{where}, the curves of this run and {name} do not meet within {result['tolerance']:.0%}{end}"
    return f"{where}, the curves of this run and {name} meet after {meeting} steps (within {result['tolerance']:.0%})"
