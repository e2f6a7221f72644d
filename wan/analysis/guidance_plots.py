"""Figures of the error analysis: the two panels of the founding documents, and how fast a CFG difference ages."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from wan.analysis.guidance_error import StepGuidance, experts_of, reuse_errors_by_age
from wan.analysis.plots import (
    BLUE,
    GREY,
    ORANGE,
    figure,
    from_zero,
    legend_below,
    mark_steps,
    mark_switch,
    series_style,
    step_axis,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_cfg_error(path: Path, steps: Sequence[StepGuidance], *, title: str) -> None:
    """Left: change of the CFG difference from step to step. Right: size of the difference."""
    with figure(path, rows=1, columns=2, size=(12, 4.9), title=title) as (left, right):
        changes = [(step.index + 1, step.change_mse) for step in steps if step.change_mse is not None]
        left.plot(*_columns(changes), marker="o", color=BLUE, label="change from the previous step")
        left.set_title("Adjacent-step CFG Difference Change MSE")
        left.set_ylabel(r"mean $(D_t - D_{t-1})^2$  [latent units²]")
        right.plot(
            [s.index + 1 for s in steps],
            [s.mse for s in steps],
            marker="o",
            color=ORANGE,
            label="size of the difference",
        )
        right.set_title("MSE between Conditional and Unconditional")
        right.set_ylabel(r"mean $D_t^2$  [latent units²]")
        _finish(left, steps, scale_for([change for _, change in changes]))
        _finish(right, steps, scale_for([step.mse for step in steps]))


def plot_reuse(path: Path, steps: Sequence[StepGuidance], *, title: str) -> None:
    """Left: cosine of successive differences. Right: error of reusing a difference that is k steps old."""
    with figure(path, rows=1, columns=2, size=(12, 4.9), title=title) as (left, right):
        cosines = [(step.index + 1, step.cosine) for step in steps if step.cosine is not None]
        left.plot(*_columns(cosines), marker="o", color=BLUE, label=r"cosine of $D_t$ and $D_{t-1}$")
        left.axhline(
            0.5, color=ORANGE, linewidth=1.2, linestyle=":", label="0.5: below it, D changes by more than its size"
        )
        left.set_title("Direction of the CFG difference")
        left.set_ylabel("cosine  [1 same direction, 0 unrelated]")
        _finish(left, steps, "linear")
        for number, expert in enumerate(experts_of(steps)):
            _draw_ages(right, reuse_errors_by_age(steps, expert), expert, series_style(number))
        right.axhline(1.0, color=GREY, linewidth=1.2, linestyle=":", label="1: no better than D = 0")
        right.set_title("Reusing an old CFG difference")
        right.set_xlabel("age k of the difference [steps]")
        right.set_ylabel(r"mean $(D_t - D_{t-k})^2$ / mean $D_t^2$  [1]")
        whole_numbers(right)
        from_zero(right)
        legend_below(right)


def _draw_ages(axes: "Axes", errors: dict[int, list[float]], expert: str, style: dict[str, Any]) -> None:
    if errors:
        ages = list(errors)
        means = [fmean(errors[age]) for age in ages]
        label = f"{expert.replace('_', ' ')}: mean, range over steps"
        axes.plot(ages, means, label=label, **style)
        lows, highs = [min(errors[age]) for age in ages], [max(errors[age]) for age in ages]
        axes.fill_between(ages, lows, highs, color=style["color"], alpha=0.13)


def scale_for(values: Sequence[float]) -> str:
    """'log' where the largest value would hide the others on a linear axis from zero."""
    is_dominated = bool(values) and min(values) > 0.0 and max(values) > 10 * median(values)
    return "log" if is_dominated else "from zero"


def _finish(axes: "Axes", steps: Sequence[StepGuidance], scale: str) -> None:
    mark_switch(axes, [step.expert for step in steps])
    mark_steps(axes, [step.index + 1 for step in steps if step.truncated], label="truncated (evaluated beside the run)")
    step_axis(axes, len(steps))
    if scale == "log":
        axes.set_yscale("log")
    elif scale == "from zero":
        from_zero(axes)
    legend_below(axes)


def _columns(pairs: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [number for number, _ in pairs], [value for _, value in pairs]
