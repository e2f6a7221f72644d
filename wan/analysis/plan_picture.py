"""A plan as a small picture for a page: one column per step, its height the latent frames, its colours the passes."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

HEIGHT, STEP, GAP, MARGIN = 92.0, 22.0, 3.0, 40.0
_COLOURS = {"cond": "#2f6db3", "uncond": "#d9822b"}


def plan_svg(plan: Mapping[str, Any]) -> str:
    """SVG of ``plan`` as ``run.json`` holds it: conditional pass blue, unconditional orange, a skipped one left out."""
    steps: Sequence[Mapping[str, Any]] = plan["steps"]
    most = max(step["latent_frames"] for step in steps)
    width = MARGIN + len(steps) * (STEP + GAP) + 10
    parts = [_axis(most)]
    for number, step in enumerate(steps):
        left = MARGIN + number * (STEP + GAP)
        parts.append(_column(step, left, most))
        if number and steps[number - 1]["expert"] != step["expert"]:
            parts.append(_switch(left, step["expert"]))
    legend = "".join(
        f'<rect x="{x}" y="{HEIGHT + 38}" width="11" height="11" fill="{_COLOURS[branch]}"/>'
        f'<text x="{x + 16}" y="{HEIGHT + 48}">{name}</text>'
        for x, branch, name in ((MARGIN, "cond", "conditional pass"), (MARGIN + 140, "uncond", "unconditional pass"))
    )
    return (
        f'<div class="scroll"><svg role="img" aria-label="the plan, step by step" width="{width:.0f}" '
        f'height="{HEIGHT + 56:.0f}" viewBox="0 0 {width:.0f} {HEIGHT + 56:.0f}">{"".join(parts)}{legend}</svg></div>'
    )


def _column(step: Mapping[str, Any], left: float, most: int) -> str:
    height = (HEIGHT - 18) * step["latent_frames"] / most
    top = HEIGHT - height
    tip = (
        f"step {step['index'] + 1}: sigma {step['sigma']:.4f}, {step['expert']}, "
        f"{step['latent_frames']} latent frames, {step['guidance']}"
    )
    bars = "".join(
        f'<rect x="{left + i * STEP / 2:.1f}" y="{top:.1f}" width="{STEP / 2 - 1:.1f}" height="{height:.1f}" '
        f'fill="{_COLOURS[branch]}"/>'
        for i, branch in enumerate(("cond", "uncond"))
        if branch in step["branches"]
    )
    number = f'<text x="{left + STEP / 2:.1f}" y="{HEIGHT + 14}" text-anchor="middle">{step["index"] + 1}</text>'
    return f"<g><title>{escape(tip)}</title>{bars}{number}</g>"


def _switch(left: float, expert: str) -> str:
    x = left - GAP / 2
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{HEIGHT + 18}" stroke="#7f8790" stroke-dasharray="4 3"/>'
        f'<text x="{x + 4:.1f}" y="12">{escape(expert.replace("_", " "))} expert</text>'
    )


def _axis(most: int) -> str:
    return (
        f'<text x="{MARGIN - 6}" y="26" text-anchor="end">{most}</text>'
        f'<text x="{MARGIN - 6}" y="{HEIGHT}" text-anchor="end">0</text>'
        f'<text x="10" y="{HEIGHT / 2 + 40}" transform="rotate(-90 10 {HEIGHT / 2 + 40})">latent frames</text>'
        f'<text x="{MARGIN}" y="{HEIGHT + 29}">denoising step</text>'
    )
