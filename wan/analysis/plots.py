"""What all figures share: a quiet style, text that fits, legends outside the data, and saving as a whole file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan.analysis.lettering import font_families, wrapped
from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Module values, so that tests can draw drafts.
DPI = 130
LAYOUT: Any = "constrained"
BLUE, ORANGE, GREEN, RED, GREY, INK = "#2f6db3", "#d9822b", "#3c8d5a", "#b8433f", "#7f8790", "#20262c"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#7b5ea7", "#4aa3a2", "#a0703c", GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_TITLE_SIZE, _COLUMNS_PER_INCH, _LABEL_COLUMNS = 12.5, 8.6, 60
_UNDER_AXES_POINTS = 36.0
_STYLE: Any = {
    "figure.facecolor": "white",
    "axes.grid": True,
    "grid.color": "#e4e7ea",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa1a8",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "font.size": 9.5,
    "legend.frameon": False,
    "legend.borderaxespad": 0.4,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}


def require_plotting() -> None:
    """InvalidInput when matplotlib or scikit-image is missing; asked before any weight loads."""
    for name in ("matplotlib", "skimage"):
        if find_spec(name) is None:  # found, not imported: both take a second
            raise InvalidInput(
                f"the instruments need {name}, which is not installed: pip install 'wan22-shortcut[analysis]'"
            )


@contextmanager
def figure(path: Path, *, rows: int, columns: int, size: tuple[float, float], title: str) -> "Iterator[list[Axes]]":
    """Axes row by row, ``size`` in inches; the PNG is written when the block ends."""
    require_plotting()
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("Agg")
    with pyplot.rc_context(_STYLE | {"font.family": font_families()}):
        drawing, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout=LAYOUT)
        try:
            fitted = wrapped(" ".join(title.split()), int(size[0] * _COLUMNS_PER_INCH), most_lines=2)
            drawing.suptitle(_literal(fitted), fontsize=_TITLE_SIZE, fontweight="bold")
            yield list(axes.flat)
            save_figure(path, drawing)
        finally:
            pyplot.close(drawing)


def series_label(name: str, *, columns: int = _LABEL_COLUMNS) -> str:
    """The name of a curve or a row as a label of one or more lines; it is no formula, whatever it contains."""
    return _literal(wrapped(name, columns))


def _literal(text: str) -> str:
    # a prompt with two dollar signs is no formula
    return text.replace("$", r"\$")


def save_figure(path: Path, drawing: "Figure") -> None:
    """Write a PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        drawing.savefig(temporary, dpi=DPI, format="png")


def legend_below(axes: "Axes") -> None:
    """A legend under the axes and their x label, where no data can be, in as many columns as fit."""
    from matplotlib.transforms import ScaledTranslation

    artists, labels = _legend_entries([axes])
    below = axes.transAxes + ScaledTranslation(0, -_UNDER_AXES_POINTS / 72, axes.figure.dpi_scale_trans)
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": below}
    for columns in range(len(labels), 0, -1):
        legend = axes.legend(artists, labels, ncols=columns, **place)
        if _width(legend, axes.figure) <= axes.bbox.width:
            break


def shared_legend(all_axes: "Sequence[Axes]", *, note: str | None = None) -> None:
    """One legend at the foot of the figure for axes that show the same series; ``note`` is the line above it."""
    drawing = all_axes[0].figure
    artists, labels = _legend_entries(all_axes)
    for columns in range(len(labels), 0, -1):
        legend = drawing.legend(artists, labels, ncols=columns, loc="outside lower center", title=note)
        if columns == 1 or _width(legend, drawing) <= drawing.bbox.width:
            break
        legend.remove()


def _legend_entries(all_axes: "Sequence[Axes]") -> "tuple[list[Artist], list[str]]":
    """Every label once, in the order of drawing."""
    entries: dict[str, Artist] = {}
    for axes in all_axes:
        for artist, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, artist)
    return list(entries.values()), list(entries)


def _width(legend: "Legend", drawing: Any) -> float:
    return legend.get_window_extent(drawing.canvas.get_renderer()).width


def series_style(number: int) -> dict[str, Any]:
    """Colour, marker and widths of the ``number``-th of several curves; where curves coincide, the lower ones show."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linewidth": max(1.2, 2.6 - 0.7 * number),
        "markersize": max(3.5, 6.2 - 1.2 * number),
    }


def mark_switch(axes: "Axes", experts: Sequence[str], *, label: str = "expert switch") -> None:
    """A vertical line between the steps (counted from 1) where the expert changes."""
    for number in range(1, len(experts)):
        if experts[number] != experts[number - 1]:
            axes.axvline(number + 0.5, color=GREY, linestyle="--", linewidth=1.2, label=label)


def mark_steps(axes: "Axes", numbers: Sequence[int], *, label: str) -> None:
    """Shade steps (counted from 1)."""
    for number in numbers:
        axes.axvspan(number - 0.5, number + 0.5, color=ORANGE, alpha=0.13, linewidth=0, label=label)


def from_zero(axes: "Axes") -> None:
    """A y axis that starts at 0, with room above the largest value."""
    axes.set_ylim(0.0, max(axes.dataLim.y1 * 1.08, 1e-12))


def step_axis(axes: "Axes", steps: int) -> None:
    """The x axis of a per-step figure: whole steps from 1."""
    axes.set_xlabel("denoising step (counted from 1)")
    axes.set_xlim(0.5, steps + 0.5)
    whole_numbers(axes)


def whole_numbers(axes: "Axes") -> None:
    """No ticks between the whole numbers of the x axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
