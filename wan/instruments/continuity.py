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
from wan.instruments.arena.store import digest_of, identity_of
from wan.job import Job, rerun
from wan.loading.layouts import Checkpoint
from wan.runs import write_json_atomic
from wan.runs.debug_latents import (
    DEBUG_DTYPES,
    LATENTS_FOLDER,
    debug_latents_bytes,
    debug_step_files,
    iterate_debug_steps,
    refuse_full_disk,
)
from wan.session import Session

FIGURE_NAME, SWITCH_FIGURE, COMPARE_FIGURE = "continuity_analysis.png", "expert_switch.png", "continuity_comparison.png"
STATISTICS_NAME, SWEEP_FIGURE, SWEEP_NAME = (
    "continuity_statistics.json",
    "continuity_sweep.png",
    "continuity_sweep.json",
)
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One run to make and measure; ``name`` is its folder in a sweep."""

    name: str
    job: Job

    @property
    def title(self) -> str:
        geometry, plan = self.job.geometry, self.job.plan
        half = "" if plan.frame_completion is None else f", half-frame ({plan.frame_completion})"
        return (
            f"{self.job.prompt!r}, seed {self.job.request.seed}, {geometry.pixel_frames} frames = "
            f"{geometry.latent_frames} latent frames{half}"
        )


def study_identity(studies: Sequence[Study], checkpoint: Checkpoint) -> str:
    """What decides the latents of all studies."""
    decided = [
        (one.name, one.job.plan, one.job.settings, one.job.prompt, one.job.negative_prompt, one.job.request.seed)
        for one in studies
    ]
    return digest_of([identity_of(checkpoint, studies[0].job.request.machine), decided])


def analyse_studies(
    studies: Sequence[Study], session: Session, directory: Path, *, space: str, say: Say
) -> ContinuityRun | None:
    """One study in the folder itself, or several as a sweep, which has no single run to go on with."""
    if len(studies) > 1:
        sweep(studies, session, directory, space=space, say=say)
        return None
    return analyse_study(studies[0], session, directory, space=space, say=say)


def analyse_study(study: Study, session: Session, directory: Path, *, space: str, say: Say) -> ContinuityRun:
    """Sample with every step on disk, unless all are there already, then measure."""
    folder = directory / LATENTS_FOLDER
    job = study.job
    elements = [prod(job.geometry.latent_shape(step.latent_frames)) for step in job.plan.steps]
    size = debug_latents_bytes(elements, DEBUG_DTYPES["float32"])
    refuse_full_disk(folder, size, flag="--output_dir")
    say(f"{study.title}: {size / 1e6:,.1f} MB of latents go to {folder}")
    if len(debug_step_files(folder)) < len(job.plan.steps):
        session.sample(job.plan, prompt=job.prompt, seed=job.request.seed, observers=[LatentsDump(folder)])
    about = {
        "task": job.config.name,
        "prompt": job.prompt,
        "seed": job.request.seed,
        "command": rerun(job, enable_debug=True).command(seed=job.request.seed),
    }
    return analyse_folder(folder, directory, space=space, title=study.title, say=say, about=about)


def analyse_folder(
    folder: Path, directory: Path, *, space: str, title: str, say: Say, about: dict[str, Any] | None = None
) -> ContinuityRun:
    """Measure the debug latents in ``folder``; figures, statistics and tables."""
    run = _measured(folder)
    write_json_atomic(
        directory / STATISTICS_NAME,
        {"run": (about or {}) | {"debug_latents": str(folder)}, "shown_space": space} | run.as_dict(),
    )
    plot_continuity(directory / FIGURE_NAME, {"this run": run}, space, title=title)
    plot_switch(directory / SWITCH_FIGURE, {"this run": run}, title=title)
    say(f"\n{format_steps(run, space)}\n\n{format_statistics(run, space)}")
    return run


def compare_with(
    run: ContinuityRun, reference_folder: Path, directory: Path, *, space: str, names: tuple[str, str], say: Say
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
    say("\n" + _meeting_sentence(result, names[1]))


def sweep(studies: Sequence[Study], session: Session, directory: Path, *, space: str, say: Say) -> None:
    """Every study in a folder of its own, and all of them in one figure."""
    runs = {one.name: analyse_study(one, session, directory / one.name, space=space, say=say) for one in studies}
    labels = {_label(one): runs[one.name] for one in studies}
    first = studies[0].job
    title = f"{first.prompt!r}, seed {first.request.seed}: {space}"
    plot_sweep(directory / SWEEP_FIGURE, labels, space, title=title)
    write_json_atomic(directory / SWEEP_NAME, {"shown_space": space} | {n: run.as_dict() for n, run in runs.items()})
    say("\n" + _sweep_table(labels, space))
    say(f"\nresults: {directory}")


def _measured(folder: Path) -> ContinuityRun:
    try:
        return measure_run(iterate_debug_steps(folder))
    except ValueError as error:
        raise InvalidInput(f"{folder}: {error}") from error


def _label(study: Study) -> str:
    geometry, steps = study.job.geometry, len(study.job.plan.steps)
    if study.name.startswith("frames_"):
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
