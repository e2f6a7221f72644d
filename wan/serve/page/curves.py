"""Curves over the frames of a comparison as SVG, in the colours of the page, with a line where the players are."""

import math
from collections.abc import Mapping, Sequence

from wan.analysis.page_text import escaped

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420.0, 168.0, 46.0, 408.0, 12.0, 132.0
CEILING = 80.0
"""Where an infinite PSNR (equal frames) is drawn."""
_KINDS = ("a", "b")


def curve(
    title: str,
    series: Mapping[str, Sequence[float]],
    *,
    axis: str,
    unit: str = "",
    limits: Sequence[float] = (),
    from_zero: bool = False,
) -> str:
    """A figure with up to two series over the frames; ``limits`` are drawn as lines across. Empty without values."""
    drawn = {name: [min(value, CEILING) for value in values] for name, values in series.items() if len(values)}
    if not drawn:
        return ""
    values = [value for found in drawn.values() for value in found]
    low, high = _range([*values, *limits, *([0.0] if from_zero else [])])
    count = max(len(found) for found in drawn.values())
    parts = [_grid(low, high), *(_limit(value, low, high) for value in limits), _frames(count, axis)]
    parts += [_line(kind, found, low, high, count) for kind, found in zip(_KINDS, drawn.values(), strict=False)]
    said = "; ".join(f"{name}: {min(found):.3g} .. {max(found):.3g} {unit}".strip() for name, found in drawn.items())
    keys = "".join(
        f'<span><i class="key {kind}"></i>{escaped(name)}</span> ' for kind, name in zip(_KINDS, drawn, strict=False)
    )
    return (
        f"<figure><figcaption>{escaped(title)}</figcaption>"
        f'<svg role="img" aria-label="{escaped(f"{title}. {said}")}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" '
        f'data-left="{LEFT:g}" data-right="{RIGHT:g}">{"".join(parts)}'
        f'<line class="playhead" x1="{LEFT:g}" x2="{LEFT:g}" y1="{TOP:g}" y2="{BOTTOM:g}"/></svg>'
        f'<div class="quiet">{keys}</div></figure>'
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 0.5
    return (low if low == 0.0 else low - room), high + room


def _y(value: float, low: float, high: float) -> float:
    return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)


def _x(index: int, count: int) -> float:
    return LEFT + (RIGHT - LEFT) * index / max(1, count - 1)


def _line(kind: str, values: Sequence[float], low: float, high: float, count: int) -> str:
    points = " ".join(f"{_x(index, count):.1f},{_y(value, low, high):.1f}" for index, value in enumerate(values))
    if len(values) == 1:
        return f'<circle class="{kind}" cx="{LEFT:g}" cy="{_y(values[0], low, high):.1f}" r="3"/>'
    return f'<polyline class="{kind}" points="{points}"/>'


def _grid(low: float, high: float) -> str:
    step = _round_step((high - low) / 4)
    first = math.ceil(low / step)
    ticks = [(first + number) * step for number in range(8) if (first + number) * step <= high]
    return "".join(_tick(tick, _y(tick, low, high)) for tick in ticks)


def _tick(value: float, y: float) -> str:
    return (
        f'<line class="grid" x1="{LEFT:g}" x2="{RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6:g}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    )


def _round_step(about: float) -> float:
    """1, 2 or 5 times a power of ten, near ``about``."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= about * 0.999)


def _limit(value: float, low: float, high: float) -> str:
    y = _y(value, low, high)
    return f'<line class="limit" x1="{LEFT:g}" x2="{RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _frames(count: int, axis: str) -> str:
    labels = sorted({0, (count - 1) // 2, count - 1})
    ticks = "".join(
        f'<text x="{_x(index, count):.1f}" y="{BOTTOM + 15:g}" text-anchor="middle">{index + 1}</text>'
        for index in labels
    )
    return f'{ticks}<text x="{(LEFT + RIGHT) / 2:g}" y="{BOTTOM + 31:g}" text-anchor="middle">{escaped(axis)}</text>'
