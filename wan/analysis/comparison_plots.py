"""Figures of a comparison: contact sheet, quality per frame, drift of the latents, and all cases at a glance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wan.analysis.comparison import PSNR_THRESHOLD, SSIM_THRESHOLDS, CaseResult
from wan.analysis.pictures import GAIN, amplified_difference
from wan.analysis.plots import BLUE, COLOURS, GREY, ORANGE, figure, from_zero, mark_switch, step_axis
from wan.sampling.geometry import kept_pixel_frames

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where an infinite PSNR (equal videos) is drawn.
PSNR_CEILING = 80.0


def plot_contact_sheet(
    path: Path, method: np.ndarray, baseline: np.ndarray, *, name: str, psnrs: Sequence[float], title: str
) -> None:
    """Baseline, method and amplified difference, in eight frames: evenly spaced ones, and the one that is worst."""
    worst = int(np.argmin(psnrs))
    numbers = np.unique([*np.linspace(0, len(method) - 1, min(7, len(method))).round().astype(int), worst])
    rows = {
        "baseline": baseline[numbers],
        name: method[numbers],
        f"|difference| x {GAIN:g}": amplified_difference(method[numbers], baseline[numbers]),
    }
    height, width = method.shape[1:3]
    size = (1.75 * len(numbers) + 0.5, (1.75 * height / width) * 3 + 1.1)
    with figure(path, rows=3, columns=len(numbers), size=size, title=title) as axes:
        for row, (label, frames) in enumerate(rows.items()):
            for column, frame in enumerate(frames):
                cell = axes[row * len(numbers) + column]
                cell.imshow(frame, vmin=0, vmax=1, interpolation="nearest")
                cell.set(xticks=[], yticks=[])
                cell.grid(visible=False)
                if column == 0:
                    cell.set_ylabel(label)
        for column, number in enumerate(numbers):
            mark = ", worst" if number == worst else ""
            axes[column].set_title(f"frame {number}{mark}\n{min(psnrs[number], PSNR_CEILING):.1f} dB", fontsize=9)


def plot_per_frame(path: Path, result: CaseResult, *, title: str, half_frame_stride: int | None) -> None:
    """PSNR and SSIM of every frame with the seeds' thresholds; filled frames shaded."""
    with figure(path, rows=2, columns=1, size=(10, 6.4), title=title) as (top, bottom):
        frames = range(len(result.psnrs))
        top.plot(frames, np.minimum(result.psnrs, PSNR_CEILING), marker="o", color=BLUE, label="this method")
        top.axhline(PSNR_THRESHOLD, color=GREY, linestyle="--", linewidth=1.2, label=f"{PSNR_THRESHOLD:g} dB")
        top.set_ylabel("PSNR [dB]")
        bottom.plot(frames, result.ssims, marker="o", color=ORANGE, label="this method")
        for threshold, style in zip(SSIM_THRESHOLDS, (":", "--"), strict=True):
            bottom.axhline(threshold, color=GREY, linestyle=style, linewidth=1.2, label=f"{threshold}")
        bottom.set_ylabel("SSIM [1]")
        for axes in (top, bottom):
            _shade_filled(axes, len(frames), half_frame_stride)
            axes.set_xlabel("pixel frame")
            axes.set_xlim(-0.5, len(frames) - 0.5)
            axes.legend(loc="best")


def plot_divergence(path: Path, methods: Mapping[str, Sequence[CaseResult]], experts: Sequence[str]) -> None:
    """Relative difference of the latents after every step, mean and range over the cases."""
    with figure(path, rows=1, columns=1, size=(8.5, 4.6), title="Drift from the baseline's latents") as (axes,):
        for (name, results), colour in zip(methods.items(), COLOURS, strict=False):
            curves = np.array([result.divergence for result in results])
            numbers = np.arange(1, curves.shape[1] + 1)
            axes.plot(numbers, curves.mean(axis=0), marker="o", color=colour, label=name)
            if len(curves) > 1:
                axes.fill_between(numbers, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.15)
        mark_switch(axes, experts)
        step_axis(axes, len(experts))
        from_zero(axes)
        axes.set_ylabel("RMS(method - baseline) / RMS(baseline)  [1]")
        axes.legend()


def plot_cases(path: Path, methods: Mapping[str, Sequence[CaseResult]], *, title: str) -> None:
    """PSNR and SSIM of every case as a dot, one column per method or control, with the mean."""
    is_wide = len(methods) > 5
    size = (1.35 * len(methods) + 1.0, 9.0) if is_wide else (2.6 * len(methods) + 4.0, 5.2)
    with figure(path, rows=1 + is_wide, columns=2 - is_wide, size=size, title=title) as (left, right):
        for column, (results, colour) in enumerate(zip(methods.values(), COLOURS * 3, strict=False)):
            spread = np.linspace(-0.18, 0.18, len(results)) if len(results) > 1 else [0.0]
            psnrs = np.minimum([result.measures["psnr"] for result in results], PSNR_CEILING)
            ssims = [result.measures["ssim"] for result in results]
            for axes, values in ((left, psnrs), (right, ssims)):
                axes.scatter(column + np.asarray(spread), values, s=18, color=colour, alpha=0.75, zorder=3)
                axes.hlines(np.mean(values), column - 0.3, column + 0.3, color="#20262c", linewidth=2, zorder=4)
        left.axhline(PSNR_THRESHOLD, color=GREY, linestyle="--", linewidth=1.2, label=f"{PSNR_THRESHOLD:g} dB")
        for threshold, style in zip(SSIM_THRESHOLDS, (":", "--"), strict=True):
            right.axhline(threshold, color=GREY, linestyle=style, linewidth=1.2, label=f"{threshold}")
        left.set_ylabel(f"PSNR [dB] (equal videos drawn at {PSNR_CEILING:g})")
        right.set_ylabel("SSIM [1]")
        for axes in (left, right):
            axes.set_xticks(range(len(methods)), [name.replace("_", "\n", 1) for name in methods], fontsize=9)
            axes.set_xlim(-0.6, len(methods) - 0.4)
            axes.legend(loc="best")


def _shade_filled(axes: "Axes", frames: int, stride: int | None) -> None:
    if stride is None:
        return
    filled = np.flatnonzero(~np.array(kept_pixel_frames(frames, stride=stride)))
    for position, number in enumerate(filled):
        label = "filled frames" if position == 0 else None
        axes.axvspan(number - 0.5, number + 0.5, color=ORANGE, alpha=0.13, linewidth=0, label=label)
