"""Figures of a comparison: contact sheet, quality per frame, drift of the latents, and all cases at a glance."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wan.analysis.comparison import PSNR_THRESHOLD, SSIM_THRESHOLDS, CaseResult
from wan.analysis.pictures import GAIN, amplified_difference
from wan.analysis.plots import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    ORANGE,
    figure,
    from_zero,
    legend_below,
    mark_steps,
    mark_switch,
    series_label,
    series_style,
    shared_legend,
    step_axis,
    whole_numbers,
)
from wan.sampling.geometry import kept_pixel_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where an infinite PSNR (equal videos) is drawn.
PSNR_CEILING = 80.0
# Inches.
_CELL, _ROW_LABEL, _LEAST_WIDTH = 1.75, 1.3, 7.0


def plot_contact_sheet(
    path: Path, method: np.ndarray, baseline: np.ndarray, *, name: str, psnrs: Sequence[float], title: str
) -> None:
    """Baseline, method and amplified difference, in eight frames: evenly spaced ones, and the one that is worst."""
    worst = int(np.argmin(psnrs))
    numbers = np.unique([*np.linspace(0, len(method) - 1, min(7, len(method))).round().astype(int), worst])
    rows = {
        "baseline": baseline[numbers],
        name.replace("_", " "): method[numbers],
        f"|difference| x {GAIN:g}": amplified_difference(method[numbers], baseline[numbers]),
    }
    height, width = method.shape[1:3]
    size = (max(_CELL * len(numbers) + _ROW_LABEL, _LEAST_WIDTH), (_CELL * height / width) * 3 + 1.2)
    with figure(path, rows=3, columns=len(numbers), size=size, title=title) as axes:
        for row, (label, frames) in enumerate(rows.items()):
            for column, frame in enumerate(frames):
                cell = axes[row * len(numbers) + column]
                cell.imshow(frame, vmin=0, vmax=1, interpolation="nearest")
                cell.set(xticks=[], yticks=[])
                cell.grid(visible=False)
                cell.spines[:].set_visible(True)
                if column == 0:
                    cell.set_ylabel(series_label(label, columns=16), rotation=0, ha="right", va="center")
        for column, number in enumerate(numbers):
            mark = ", worst" if number == worst else ""
            axes[column].set_title(f"frame {number}{mark}\nPSNR {min(psnrs[number], PSNR_CEILING):.1f} dB", fontsize=9)


def plot_per_frame(path: Path, result: CaseResult, *, title: str, half_frame_stride: int | None) -> None:
    """PSNR and SSIM of every frame with the thresholds of the verdicts; filled frames shaded."""
    with figure(path, rows=2, columns=1, size=(10, 7.2), title=title) as (top, bottom):
        frames = range(len(result.psnrs))
        top.plot(
            frames,
            np.minimum(result.psnrs, PSNR_CEILING),
            marker="o",
            color=BLUE,
            label="PSNR of this method",
        )
        top.axhline(PSNR_THRESHOLD, color=GREY, linestyle="--", linewidth=1.2, label=f"threshold {PSNR_THRESHOLD:g} dB")
        top.set_ylabel("PSNR [dB]")
        bottom.plot(frames, result.ssims, marker="o", color=ORANGE, label="SSIM of this method")
        for threshold, style in zip(SSIM_THRESHOLDS, (":", "--"), strict=True):
            bottom.axhline(threshold, color=GREY, linestyle=style, linewidth=1.2, label=f"threshold {threshold}")
        bottom.set_ylabel("SSIM [1]")
        for axes in (top, bottom):
            _shade_filled(axes, len(frames), half_frame_stride)
            axes.set_xlabel("pixel frame (counted from 0)")
            axes.set_xlim(-0.5, len(frames) - 0.5)
            whole_numbers(axes)
            axes.margins(y=0.08)
            legend_below(axes)


def plot_divergence(path: Path, methods: Mapping[str, Sequence[CaseResult]], experts: Sequence[str]) -> None:
    """Relative difference of the latents after every step, mean and range over the cases."""
    with figure(path, rows=1, columns=1, size=(8.5, 5.0), title="Drift from the baseline's latents") as (axes,):
        for number, (name, results) in enumerate(methods.items()):
            style = series_style(number)
            curves = np.array([result.divergence for result in results])
            numbers = np.arange(1, curves.shape[1] + 1)
            label = series_label(name.replace("_", " ")) + (
                ": mean and range over the cases" if len(curves) > 1 else ""
            )
            axes.plot(numbers, curves.mean(axis=0), label=label, **style)
            if len(curves) > 1:
                axes.fill_between(numbers, curves.min(axis=0), curves.max(axis=0), color=style["color"], alpha=0.15)
        mark_switch(axes, experts)
        step_axis(axes, len(experts))
        from_zero(axes)
        axes.set_ylabel("RMS(method - baseline) / RMS(baseline)  [1]")
        legend_below(axes)


def plot_cases(path: Path, methods: Mapping[str, Sequence[CaseResult]], *, title: str) -> None:
    """PSNR and SSIM of every case as a dot, one column per method or control, with the mean."""
    is_wide = len(methods) > 5
    size = (1.35 * len(methods) + 1.0, 9.6) if is_wide else (max(1.7 * len(methods) + 3.4, 8.5), 5.4)
    with figure(path, rows=1 + is_wide, columns=2 - is_wide, size=size, title=title) as (left, right):
        for column, (results, colour) in enumerate(zip(methods.values(), COLOURS * 3, strict=False)):
            psnrs = [min(result.measures["psnr"], PSNR_CEILING) for result in results]
            ssims = [result.measures["ssim"] for result in results]
            _draw_column(left, column, psnrs, colour, _decibel)
            _draw_column(right, column, ssims, colour, "{:.3f}".format)
        left.axhline(
            PSNR_THRESHOLD, color=GREY, linestyle="-.", linewidth=1.2, label=f"threshold {PSNR_THRESHOLD:g} dB"
        )
        for threshold, style in zip(SSIM_THRESHOLDS, (":", "--"), strict=True):
            right.axhline(threshold, color=GREY, linestyle=style, linewidth=1.2, label=f"threshold {threshold}")
        left.set_ylabel(f"PSNR [dB] (equal videos drawn at {PSNR_CEILING:g})")
        right.set_ylabel("SSIM [1]")
        for axes in (left, right):
            names = [series_label(name.replace("_", " "), columns=12) for name in methods]
            axes.set_xticks(range(len(methods)), names, fontsize=9)
            axes.set_xlabel("method or control")
            axes.set_xlim(-0.6, len(methods) - 0.4)
            axes.margins(y=0.12)
        shared_legend((left, right))


def _draw_column(axes: "Axes", column: int, values: Sequence[float], colour: str, form: Callable[[float], str]) -> None:
    """A dot per case and a line at their mean; a single case gets its value beside it."""
    if len(values) == 1:
        axes.scatter([column], values, s=60, color=colour, zorder=3)
        # on white, because a threshold may pass behind it
        box = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
        axes.annotate(
            form(values[0]), (column, values[0]), (9, 0), textcoords="offset points", va="center", bbox=box, zorder=5
        )
        return
    spread = np.linspace(-0.18, 0.18, len(values))
    axes.scatter(column + spread, values, s=18, color=colour, alpha=0.75, zorder=3)
    axes.hlines(
        np.mean(values), column - 0.3, column + 0.3, color=INK, linewidth=2, zorder=4, label="mean of the cases"
    )


def _decibel(value: float) -> str:
    return "equal" if value >= PSNR_CEILING else f"{value:.1f} dB"


def _shade_filled(axes: "Axes", frames: int, stride: int | None) -> None:
    if stride is not None:
        filled = [number for number, kept in enumerate(kept_pixel_frames(frames, stride=stride)) if not kept]
        # mark_steps shades whole numbers, here frames
        mark_steps(axes, filled, label="filled frames")
