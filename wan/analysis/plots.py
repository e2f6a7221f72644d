"""What all figures share: a quiet style, the expert switch and the truncated steps, and saving as a whole file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Module values, so that tests can draw drafts.
DPI = 130
LAYOUT: Any = "constrained"
BLUE, ORANGE, GREEN, RED, GREY = "#2f6db3", "#d9822b", "#3c8d5a", "#b8433f", "#7f8790"
COLOURS = (BLUE, ORANGE, GREEN, RED, "#7b5ea7", "#4aa3a2", "#a0703c", GREY)
_FONT_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
)
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
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}


def require_plotting() -> None:
    """InvalidInput when matplotlib or scikit-image is missing; asked before any weight loads."""
    try:
        import matplotlib
        import skimage  # noqa: F401  (asked for, not used here)
    except ImportError as error:
        raise InvalidInput(
            f"the instruments need {error.name}, which is not installed: pip install 'wan22-shortcut[analysis]'"
        ) from error
    matplotlib.use("Agg")


@contextmanager
def figure(path: Path, *, rows: int, columns: int, size: tuple[float, float], title: str) -> "Iterator[list[Axes]]":
    """Axes row by row, ``size`` in inches; the PNG is written when the block ends."""
    require_plotting()
    from matplotlib import pyplot

    with pyplot.rc_context(_STYLE | {"font.family": _font_families()}):
        drawing, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout=LAYOUT)
        try:
            drawing.suptitle(_literal(shorten(title, width=110, placeholder=" ...")), fontsize=12.5, fontweight="bold")
            yield list(axes.flat)
            save_figure(path, drawing)
        finally:
            pyplot.close(drawing)


def _font_families() -> list[str]:
    """The installed ones of these, so that a Chinese or Japanese prompt in a title is not drawn as boxes."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [family for family in _FONT_FAMILIES if family in installed]


def _literal(text: str) -> str:
    # a prompt with two dollar signs is no formula
    return text.replace("$", r"\$")


def save_figure(path: Path, drawing: "Figure") -> None:
    """Write a PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        drawing.savefig(temporary, dpi=DPI, format="png")


def mark_switch(axes: "Axes", experts: Sequence[str], *, label: str = "expert switch") -> None:
    """A vertical line between the steps (counted from 1) where the expert changes."""
    for number in range(1, len(experts)):
        if experts[number] != experts[number - 1]:
            axes.axvline(number + 0.5, color=GREY, linestyle="--", linewidth=1.2, label=label)


def mark_steps(axes: "Axes", numbers: Sequence[int], *, label: str) -> None:
    """Shade steps (counted from 1)."""
    for position, number in enumerate(numbers):
        name = label if position == 0 else None
        axes.axvspan(number - 0.5, number + 0.5, color=ORANGE, alpha=0.13, linewidth=0, label=name)


def from_zero(axes: "Axes") -> None:
    """A y axis that starts at 0, with room above the largest value."""
    axes.set_ylim(0.0, max(axes.dataLim.y1 * 1.08, 1e-12))


def step_axis(axes: "Axes", steps: int) -> None:
    """The x axis of a per-step figure: whole steps from 1."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("denoising step")
    axes.set_xlim(0.5, steps + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
