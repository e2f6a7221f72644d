"""A debug run: its folder, its observers, and the error analysis that is written when it ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from wan.analysis.guidance_plots import plot_cfg_error, plot_reuse
from wan.analysis.guidance_report import ErrorAnalysis, analyse, format_report
from wan.analysis.plots import require_plotting
from wan.analysis.probe import GuidanceProbe, LatentsDump
from wan.runs import write_json_atomic, write_text_atomic
from wan.runs.debug_latents import DEBUG_DTYPES, LATENTS_FOLDER, debug_latents_bytes, refuse_full_disk
from wan.runs.folders import claim_directory
from wan.sampling.observers import Observer
from wan.sampling.plan import Expert, Plan
from wan.settings import SamplingSettings

ANALYSIS_FOLDER = "error_analysis"
ANALYSIS_NAME = "error_analysis.json"
REPORT_NAME = "error_analysis_report.txt"
CFG_FIGURE = "cfg_error_visualization.png"
REUSE_FIGURE = "cfg_reuse.png"
_STALE = (f"{LATENTS_FOLDER}/latent_step_*.pt",)


@dataclass(frozen=True, kw_only=True, slots=True)
class DebugRun:
    """The instruments of one run; ``finish`` writes what they found."""

    directory: Path
    probe: GuidanceProbe
    dump: LatentsDump
    mode: str

    @property
    def observers(self) -> tuple[Observer, ...]:
        return self.probe, self.dump

    def finish(self, *, run: Mapping[str, Any]) -> ErrorAnalysis:
        """Report, figures and JSON; ``run`` (prompt, seed, command, ...) is stored with them."""
        analysis = analyse(self.probe.steps, mode=self.mode)
        write_error_analysis(self.directory / ANALYSIS_FOLDER, analysis, run=run)
        return analysis


def open_debug(
    directory: Path,
    *,
    plan: Plan,
    settings: SamplingSettings,
    dtype: str,
    overwrite: bool,
    say: Callable[[str], None],
    claimed: Path | None = None,
) -> DebugRun:
    """Claim the folder and announce what will be written; InvalidInput when that cannot work. Loads no weight.

    ``claimed``: the folder of a run that goes on.
    """
    require_plotting()
    elements = [prod(plan.geometry.latent_shape(step.latent_frames)) for step in plan.steps]
    size = debug_latents_bytes(elements, DEBUG_DTYPES[dtype])
    refuse_full_disk(directory, size, flag="--debug_output_dir")
    claimed = claimed or claim_directory(directory, flag="--debug_output_dir", overwrite=overwrite, stale=_STALE)
    shadow = sum(2 - len(step.evaluated) for step in plan.steps)
    say(
        f"debug: the latents of {len(plan.steps)} steps, {dtype}, {size / 1e6:,.1f} MB, and the error analysis go to "
        f"{claimed}" + (f"; {shadow} skipped passes are evaluated beside the run" if shadow else "")
    )
    return DebugRun(
        directory=claimed,
        probe=GuidanceProbe(scales_of(settings)),
        dump=LatentsDump(claimed / LATENTS_FOLDER, DEBUG_DTYPES[dtype]),
        mode=settings.cfg_truncate_mode,
    )


def scales_of(settings: SamplingSettings) -> dict[Expert, float]:
    """The guidance scale of every expert; a single one is guided by the low-noise scale."""
    low, high = settings.low_noise_guidance_scale, settings.high_noise_guidance_scale
    return {Expert.HIGH_NOISE: high, Expert.LOW_NOISE: low, Expert.SINGLE: low}


def write_error_analysis(folder: Path, analysis: ErrorAnalysis, *, run: Mapping[str, Any]) -> None:
    """Report, two figures and JSON in ``folder``."""
    title = f"{run['prompt']!r}, seed {run['seed']}"
    write_json_atomic(folder / ANALYSIS_NAME, {"run": dict(run)} | analysis.as_dict())
    write_text_atomic(folder / REPORT_NAME, format_report(analysis, title=title))
    plot_cfg_error(folder / CFG_FIGURE, analysis.steps, title=title)
    plot_reuse(folder / REUSE_FIGURE, analysis.steps, title=title)
