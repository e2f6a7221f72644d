"""The figure of an arena: quality against cost for the mean and the worst clip, obedience, and Frechet distance."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wan.analysis.plots import COLOURS, GREY, INK, MARKERS, figure, series_label, shared_legend
from wan.instruments.arena.rows import Row
from wan.instruments.arena.suite import ANOTHER_SEED, OURS, PLAIN, RERUN, RESERVED
from wan.instruments.arena.tables import front_of
from wan.instruments.arena.truth import Floor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADROOM_DB = 2.0
_COST = "cost: executed FLOPs / the plain plan's  [1]"


def plot_arena(path: Path, rows: Sequence[Row], *, floor: Floor | None, title: str) -> None:
    """Two panels of fidelity, and two of truth where it is known; one colour and marker per family."""
    ran = [row for row in rows if row.clips]
    with_truth = any(row.obedience is not None for row in ran)
    size = (13.0, 5.6 + 4.2 * with_truth)
    with figure(path, rows=1 + with_truth, columns=2, size=size, title=title) as axes:
        _fidelity(axes[0], ran, "psnr", "PSNR to the plain plan, mean of clips  [dB]", spread=True)
        _fidelity(axes[1], ran, "psnr_worst", "PSNR to the plain plan, worst clip  [dB]", spread=False)
        if with_truth:
            _obedience(axes[2], ran)
            _frechet(axes[3], ran, floor)
        for one in axes:
            one.set_xlabel(_COST)
            one.set_xlim(*_cost_range(ran))
        shared_legend(axes)


def _cost_range(rows: Sequence[Row]) -> tuple[float, float]:
    """From a little below the cheapest method to a little above the dearest one that is drawn."""
    costs = [row.cost for row in rows if row.cost is not None and row.name not in RESERVED] or [0.0, 1.0]
    return max(0.0, min(costs) - 0.05), max(costs) + 0.05


def _fidelity(axes: "Axes", rows: Sequence[Row], quality: str, label: str, *, spread: bool) -> None:
    axes.set_ylabel(label)
    _families(axes, rows, lambda row: getattr(row, quality), spread=spread)
    front = [point for point in front_of(rows, quality) if math.isfinite(point.quality)]
    axes.plot(
        [point.cost for point in front],
        [point.quality for point in front],
        color=INK,
        linewidth=5.0,
        alpha=0.16,
        zorder=1,
        label="Pareto front",
    )
    for name, style in ((RERUN, ":"), (ANOTHER_SEED, "--")):
        (row,) = (row for row in rows if row.name == name)
        _level(axes, getattr(row, quality), style, name)


def _level(axes: "Axes", value: float, style: str, name: str) -> None:
    """A horizontal line; equal videos (infinite PSNR) stand above everything else that is drawn."""
    is_equal = math.isinf(value)
    height = axes.dataLim.y1 + _HEADROOM_DB if is_equal else value
    label = f"{name} of the plain plan" + (" (equal to the bit, drawn at the top)" if is_equal else "")
    axes.axhline(height, color=GREY, linestyle=style, linewidth=1.4, label=label, zorder=1)
    if is_equal:
        axes.set_ylim(top=height + _HEADROOM_DB / 2)


def _obedience(axes: "Axes", rows: Sequence[Row]) -> None:
    axes.set_ylabel("obedience: clips that show what was asked  [%]")
    _families(axes, rows, lambda row: None if row.obedience is None else 100.0 * row.obedience, spread=False)
    (plain,) = (row for row in rows if row.name == PLAIN)
    if plain.obedience is not None:
        axes.axhline(100.0 * plain.obedience, color=INK, linewidth=1.2, label="plain plan", zorder=1)


def _frechet(axes: "Axes", rows: Sequence[Row], floor: Floor | None) -> None:
    axes.set_ylabel("Frechet distance to rendered clips  [1]")
    _families(axes, rows, lambda row: row.frechet, spread=False)
    (plain,) = (row for row in rows if row.name == PLAIN)
    if plain.frechet is not None:
        axes.axhline(plain.frechet, color=INK, linewidth=1.2, label="plain plan", zorder=1)
    if floor is not None:
        label = "renders against renders (floor of the Frechet distance)"
        axes.axhline(floor.mean, color=GREY, linestyle="-.", linewidth=1.4, label=label, zorder=1)
    axes.set_ylim(bottom=0.0)


def _families(axes: "Axes", rows: Sequence[Row], value: Callable[[Row], float | None], *, spread: bool) -> None:
    """A marker for every setting; those on their family's own front are joined. Bars of one standard deviation over the
    clips where asked."""
    for number, family in enumerate(dict.fromkeys(row.family for row in rows if row.name not in RESERVED)):
        of_family = [row for row in rows if row.family == family]
        style = _style(number, is_ours=any(row.role == OURS for row in of_family))
        best = {point.name for point in front_of(of_family)}
        points = sorted(
            (row.cost, found, row.psnr_std or 0.0, row.name in best)
            for row in of_family
            if row.cost is not None and (found := value(row)) is not None and math.isfinite(found)
        )
        joined = np.array([(cost, found) for cost, found, _, is_best in points if is_best]).reshape(-1, 2)
        others = np.array([(cost, found) for cost, found, _, is_best in points if not is_best]).reshape(-1, 2)
        axes.plot(*joined.T, label=series_label(family), **style)
        axes.plot(*others.T, **style | {"linestyle": "none", "alpha": 0.55})
        if spread and points:
            costs, means, deviations = (np.array(column) for column in list(zip(*points, strict=True))[:3])
            bars: dict[str, Any] = {"ecolor": style["color"], "alpha": 0.35, "elinewidth": 1.1, "capsize": 2}
            axes.errorbar(costs, means, yerr=deviations, fmt="none", **bars)


def _style(number: int, *, is_ours: bool) -> dict[str, Any]:
    """Colour, marker and line of the ``number``-th family; ours stand out."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
        "linewidth": 2.8 if is_ours else 1.3,
        "linestyle": "-" if number < len(COLOURS) else "--",
        "markersize": 8.5 if is_ours else 5.5,
        "markeredgecolor": INK if is_ours else "none",
        "zorder": 4 if is_ours else 3,
    }
