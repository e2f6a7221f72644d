"""Figures of temporal continuity: one run or two overlaid, the expert switch, sweeps, and the simulated demo."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan.analysis.continuity_run import ContinuityRun
from wan.analysis.plots import BLUE, COLOURS, GREEN, GREY, ORANGE, figure, from_zero, mark_switch, step_axis

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
        for (name, run), colour in zip(runs.items(), COLOURS, strict=False):
            _draw(mse, run, run.curve(space, "mse"), name, colour)
            _draw(std, run, run.curve(space, "mse", statistic="std"), name, colour)
            _draw(distance, run, run.curve(space, "normalized_l2"), name, colour)
            _draw(cosine, run, run.curve(space, "cosine"), name, colour)
        first = next(iter(runs.values()))
        if space == "x_t":
            label = r"independent noise: $2\sigma^2 + (1-\sigma)^2\,$MSE($x_0$)"
            mse.plot([s.step for s in first.steps], first.theory(), color=GREY, linestyle=":", label=label)
        _name(mse, "Mean MSE of adjacent frames", "mean MSE  [latent units²]")
        _name(std, "Standard deviation of that MSE over the frame pairs", "std of MSE  [latent units²]")
        _name(distance, "Normalised L2 distance", "distance  [0 equal, 1 unrelated]")
        _name(cosine, "Cosine similarity", "cosine  [1 same direction, 0 unrelated]")
        for axes in (mse, std, distance, cosine):
            _mark(axes, runs)
        for axes in (mse, std, distance):
            from_zero(axes)
        mse.figure.supxlabel(
            f"measured on the {SPACE_NAMES[space]}; mean over all pairs of neighbouring latent frames", fontsize=9
        )


def plot_switch(path: Path, runs: Mapping[str, ContinuityRun], *, title: str) -> None:
    """Cross-expert continuity: spread of the latents, and how far the x0 estimate moves from step to step."""
    with figure(path, rows=1, columns=2, size=(13, 4.6), title=title) as (spread, change):
        for (name, run), colour in zip(runs.items(), COLOURS[::2], strict=False):
            numbers = [step.step for step in run.steps]
            spread.plot(numbers, [s.std["x_t"] for s in run.steps], marker="o", color=colour, label=f"$x_t$, {name}")
            spread.plot(
                numbers,
                [s.std["x0"] for s in run.steps],
                marker="s",
                color=colour,
                linestyle="--",
                label=rf"$\hat{{x}}_0$, {name}",
            )
            moved = [(step.step, step.x0_change) for step in run.steps if step.x0_change is not None]
            change.plot([n for n, _ in moved], [v for _, v in moved], marker="o", color=colour, label=name)
        _name(spread, "Standard deviation of the latents", "standard deviation  [latent units]")
        _name(change, r"Change of the $\hat{x}_0$ estimate from the previous step", "normalised L2 distance  [1]")
        for axes in (spread, change):
            _mark(axes, runs)
            from_zero(axes)


def plot_sweep(path: Path, runs: Mapping[str, ContinuityRun], space: str, *, title: str) -> None:
    """Runs of different lengths over sigma, which is comparable where step numbers are not."""
    with figure(path, rows=1, columns=3, size=(16, 4.8), title=title) as (mse, distance, cosine):
        for (name, run), colour in zip(runs.items(), COLOURS, strict=False):
            sigmas = [step.sigma for step in run.steps]
            for axes, measure in ((mse, "mse"), (distance, "normalized_l2"), (cosine, "cosine")):
                axes.plot(sigmas, run.curve(space, measure), marker="o", color=colour, label=name)
        _name(mse, "Mean MSE of adjacent frames", "mean MSE  [latent units²]")
        _name(distance, "Normalised L2 distance", "distance  [1]")
        _name(cosine, "Cosine similarity", "cosine  [1]")
        for axes in (mse, distance, cosine):
            axes.set_xlabel(r"noise level $\sigma$ (sampling runs to the right)")
            axes.set_xlim(1.02, 0)
            axes.legend()


def plot_demo(
    path: Path, sigmas: Sequence[float], curves: Mapping[str, Mapping[str, Sequence[float]]], *, title: str
) -> None:
    """The seeds' two panels, on simulated latents: normalised L2 distance and cosine similarity per step and space."""
    with figure(path, rows=2, columns=1, size=(9.5, 8), title=title) as (distance, cosine):
        for (space, values), colour in zip(curves.items(), (BLUE, ORANGE, GREEN), strict=True):
            numbers = range(1, len(sigmas) + 1)
            distance.plot(numbers, values["normalized_l2"], marker="o", color=colour, label=SPACE_NAMES[space])
            cosine.plot(numbers, values["cosine"], marker="o", color=colour, label=SPACE_NAMES[space])
        _name(distance, "Normalised L2 distance of adjacent frames", "distance  [0 equal, 1 unrelated]")
        _name(cosine, "Cosine similarity of adjacent frames", "cosine  [1 same direction, 0 unrelated]")
        for axes in (distance, cosine):
            step_axis(axes, len(sigmas))
            axes.legend()


def _draw(axes: "Axes", run: ContinuityRun, values: Sequence[float], name: str, colour: str) -> None:
    axes.plot([step.step for step in run.steps], values, marker="o", color=colour, label=name)


def _name(axes: "Axes", title: str, label: str) -> None:
    axes.set_title(title)
    axes.set_ylabel(label)


def _mark(axes: "Axes", runs: Mapping[str, ContinuityRun]) -> None:
    first = next(iter(runs.values()))
    mark_switch(axes, first.experts)
    step_axis(axes, max(len(run.steps) for run in runs.values()))
    axes.legend()
