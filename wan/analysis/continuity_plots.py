"""Figures of temporal continuity: one run or two overlaid, the expert switch, sweeps, and the simulated demo."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan.analysis.continuity_run import ContinuityRun
from wan.analysis.plots import (
    INK,
    figure,
    from_zero,
    legend_below,
    mark_switch,
    series_label,
    series_style,
    shared_legend,
    step_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPACE_NAMES = {
    "x_t": "noisy latent $x_t$",
    "x0": r"denoised estimate $\hat{x}_0$",
    "eps": r"implied noise $\hat{\epsilon}$",
}


def plot_continuity(path: Path, runs: Mapping[str, ContinuityRun], space: str, *, title: str) -> None:
    """Left: mean (top) and standard deviation (bottom) of the adjacent-frame MSE. Right: normalised L2 and cosine."""
    with figure(path, rows=2, columns=2, size=(13, 8), title=title) as (mse, distance, std, cosine):
        for number, (name, run) in enumerate(runs.items()):
            style = series_style(number) | {"label": series_label(name)}
            _draw(mse, run, run.curve(space, "mse"), style)
            _draw(std, run, run.curve(space, "mse", statistic="std"), style)
            _draw(distance, run, run.curve(space, "normalized_l2"), style)
            _draw(cosine, run, run.curve(space, "cosine"), style)
        first = next(iter(runs.values()))
        if space == "x_t":
            label = r"mean MSE of independent noise: $2\sigma^2 + (1-\sigma)^2\,$MSE($x_0$)"
            mse.plot([s.step for s in first.steps], first.theory(), color=INK, linestyle=":", zorder=5, label=label)
        _name(mse, "Mean MSE of adjacent frames", "mean MSE  [latent units²]")
        _name(std, "Standard deviation of that MSE over the frame pairs", "std of MSE  [latent units²]")
        _name(distance, "Normalised L2 distance", "distance  [0 equal, 1 unrelated]")
        _name(cosine, "Cosine similarity", "cosine  [1 same direction, 0 unrelated]")
        for axes in (mse, std, distance, cosine):
            _mark(axes, runs)
        for axes in (mse, std, distance):
            from_zero(axes)
        note = f"measured on the {SPACE_NAMES[space]}; mean over all pairs of neighbouring latent frames"
        shared_legend((mse, distance, std, cosine), note=note)


def plot_switch(path: Path, runs: Mapping[str, ContinuityRun], *, title: str) -> None:
    """Cross-expert continuity: spread of the latents, and how far the x0 estimate moves from step to step."""
    with figure(path, rows=1, columns=2, size=(13, 5.2), title=title) as (spread, change):
        for number, (name, run) in enumerate(runs.items()):
            style = series_style(number)
            solid, dashed = (
                {"label": f"$x_t$, {series_label(name)}"},
                {"label": rf"$\hat{{x}}_0$, {series_label(name)}"},
            )
            _draw(spread, run, [step.std["x_t"] for step in run.steps], style | solid)
            _draw(spread, run, [step.std["x0"] for step in run.steps], style | dashed | {"linestyle": "--"})
            moved = [(step.step, step.x0_change) for step in run.steps if step.x0_change is not None]
            change.plot([n for n, _ in moved], [v for _, v in moved], label=series_label(name), **style)
        _name(spread, "Standard deviation of the latents", "standard deviation  [latent units]")
        _name(change, r"Change of the $\hat{x}_0$ estimate from the previous step", "normalised L2 distance  [1]")
        for axes in (spread, change):
            _mark(axes, runs)
            from_zero(axes)
            legend_below(axes)


def plot_sweep(path: Path, runs: Mapping[str, ContinuityRun], space: str, *, title: str) -> None:
    """Runs of different lengths over sigma, which is comparable where step numbers are not."""
    with figure(path, rows=1, columns=3, size=(16, 4.8), title=title) as (mse, distance, cosine):
        for number, (name, run) in enumerate(runs.items()):
            sigmas = [step.sigma for step in run.steps]
            for axes, measure in ((mse, "mse"), (distance, "normalized_l2"), (cosine, "cosine")):
                axes.plot(sigmas, run.curve(space, measure), label=series_label(name), **series_style(number))
        _name(mse, "Mean MSE of adjacent frames", "mean MSE  [latent units²]")
        _name(distance, "Normalised L2 distance", "distance  [1]")
        _name(cosine, "Cosine similarity", "cosine  [1]")
        for axes in (mse, distance, cosine):
            axes.set_xlabel(r"noise level $\sigma$  [1 noise, 0 clean]; sampling runs to the right")
            axes.set_xlim(1.02, 0)
        shared_legend((mse, distance, cosine))


def plot_demo(
    path: Path, sigmas: Sequence[float], curves: Mapping[str, Mapping[str, Sequence[float]]], *, title: str
) -> None:
    """Two panels, on simulated latents: normalised L2 distance and cosine similarity per step and space."""
    with figure(path, rows=2, columns=1, size=(9.5, 8), title=title) as (distance, cosine):
        for number, (space, values) in enumerate(curves.items()):
            steps, style = range(1, len(sigmas) + 1), series_style(number) | {"label": SPACE_NAMES[space]}
            distance.plot(steps, values["normalized_l2"], **style)
            cosine.plot(steps, values["cosine"], **style)
        _name(distance, "Normalised L2 distance of adjacent frames", "distance  [0 equal, 1 unrelated]")
        _name(cosine, "Cosine similarity of adjacent frames", "cosine  [1 same direction, 0 unrelated]")
        for axes in (distance, cosine):
            step_axis(axes, len(sigmas))
        shared_legend((distance, cosine))


def _draw(axes: "Axes", run: ContinuityRun, values: Sequence[float], style: dict[str, Any]) -> None:
    axes.plot([step.step for step in run.steps], values, **style)


def _name(axes: "Axes", title: str, label: str) -> None:
    axes.set_title(title)
    axes.set_ylabel(label)


def _mark(axes: "Axes", runs: Mapping[str, ContinuityRun]) -> None:
    first = next(iter(runs.values()))
    mark_switch(axes, first.experts)
    step_axis(axes, max(len(run.steps) for run in runs.values()))
