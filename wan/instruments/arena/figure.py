"""The figure of an arena: quality against cost for the mean and the worst clip, obedience, and Frechet distance."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        _fidelity(axes[0], ran, "psnr", "PSNR against the same-seed plain plan, mean of clips  [dB]", spread=True)
        _fidelity(axes[1], ran, "psnr_worst", "the same, worst clip  [dB]", spread=False)
        if with_truth:
            _obedience(axes[2], ran)
            _frechet(axes[3], ran, floor)
        for one in axes:
            one.set_xlabel(_COST)
            one.set_xlim(left=0.0, right=max(1.05, *(row.cost or 0.0 for row in ran)))
        shared_legend(axes)


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
    """Each family's settings joined by cost; bars of one standard deviation over the clips where asked."""
    families = dict.fromkeys(row.family for row in rows if row.name not in RESERVED)
    for number, family in enumerate(families):
        of_family = sorted((row for row in rows if row.family == family), key=lambda row: row.cost or 0.0)
        drawn = [(row, found) for row in of_family if (found := value(row)) is not None and math.isfinite(found)]
        is_ours = any(row.role == OURS for row, _ in drawn)
        style: dict[str, Any] = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
            "linewidth": 2.8 if is_ours else 1.3,
            "linestyle": "-" if number < len(COLOURS) else "--",
            "markersize": 7.5 if is_ours else 5.5,
            "zorder": 4 if is_ours else 3,
            "label": series_label(family),
        }
        costs, found = [row.cost for row, _ in drawn], [value for _, value in drawn]
        axes.plot(costs, found, **style)
        if spread:
            deviations = [row.psnr_std or 0.0 for row, _ in drawn]
            axes.errorbar(
                costs, found, yerr=deviations, fmt="none", ecolor=style["color"], alpha=0.35, elinewidth=1.1, capsize=2
            )
