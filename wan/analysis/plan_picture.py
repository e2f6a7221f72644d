"""A plan as a small picture for a page: one column per step, its height the latent frames, its colours the passes."""

from collections.abc import Mapping, Sequence
from typing import Any

from wan.analysis.page import definitions, folded, table
from wan.analysis.page_text import escaped

HEIGHT, STEP, GAP, MARGIN = 92.0, 22.0, 3.0, 46.0
_BRANCHES = ("cond", "uncond")
_SWATCHES = (
    ("cond", "conditional pass: the network reads the prompt"),
    ("uncond", "unconditional pass: the network reads the negative prompt"),
    ("skipped", "a pass that this plan leaves out"),
)
_COLUMNS = (
    ("step", "counted from 1"),
    ("sigma", "noise level before the step: 1 is noise alone, 0 is clean"),
    ("timestep", "1000 sigma without its decimals: the number that the network is told"),
    ("expert", "the denoiser that works: high noise first, then low noise; single where a model has one"),
    ("latent frames", "how many frames are denoised; half-frame generation leaves every second one out at first"),
    ("passes", "what the network computes: cond with the prompt, uncond with the negative prompt"),
    ("guidance: cfg 4", "uncond + 4 D, where D = cond - uncond is the guidance direction; both passes are computed"),
    ("guidance: cond + 1.7 D", "one pass, and 1.7 times the D of the last step that computed both"),
    ("guidance: cond only", "one pass alone, without guidance"),
)


def plan_svg(plan: Mapping[str, Any]) -> str:
    """SVG of ``plan`` as ``run.json`` holds it, with its legend; the style of the page gives the colours."""
    steps: Sequence[Mapping[str, Any]] = plan["steps"]
    most = max(step["latent_frames"] for step in steps)
    width = MARGIN + len(steps) * (STEP + GAP) + 10
    parts = [_axis(most)]
    for number, step in enumerate(steps):
        left = MARGIN + number * (STEP + GAP)
        parts.append(_column(step, left, most))
        if number and steps[number - 1]["expert"] != step["expert"]:
            parts.append(_switch(left, step["expert"], is_near_end=left > width - 120))
    drawing = (
        f'<svg role="img" aria-label="the plan, step by step" width="{width:.0f}" height="{HEIGHT + 36:.0f}" '
        f'viewBox="0 0 {width:.0f} {HEIGHT + 36:.0f}">{"".join(parts)}</svg>'
    )
    return f'<div class="scroll">{drawing}</div>{_legend()}'


def plan_table(plan: Mapping[str, Any]) -> str:
    """Every step in numbers, folded, with what the columns mean."""
    header = ["step", "sigma", "timestep", "expert", "latent frames", "passes", "guidance"]
    rows = [
        [
            str(step["index"] + 1),
            f"{step['sigma']:.6f}",
            str(step["timestep"]),
            step["expert"].replace("_", " "),
            str(step["latent_frames"]),
            " + ".join(step["branches"]),
            step["guidance"],
        ]
        for step in plan["steps"]
    ]
    return folded("Every step", definitions(_COLUMNS) + table(header, rows, numbers_from=len(header)))


def _column(step: Mapping[str, Any], left: float, most: int) -> str:
    height = (HEIGHT - 18) * step["latent_frames"] / most
    top = HEIGHT - height
    tip = (
        f"step {step['index'] + 1}: sigma {step['sigma']:.4f}, {step['expert'].replace('_', ' ')}, "
        f"{step['latent_frames']} latent frames, {step['guidance']}"
    )
    bars = "".join(
        f'<rect class="{branch if branch in step["branches"] else "skipped"}" x="{left + i * STEP / 2:.1f}" '
        f'y="{top:.1f}" width="{STEP / 2 - 1:.1f}" height="{height:.1f}"/>'
        for i, branch in enumerate(_BRANCHES)
    )
    number = f'<text x="{left + STEP / 2:.1f}" y="{HEIGHT + 14}" text-anchor="middle">{step["index"] + 1}</text>'
    return f"<g><title>{escaped(tip)}</title>{bars}{number}</g>"


def _switch(left: float, expert: str, *, is_near_end: bool) -> str:
    x = left - GAP / 2
    place = f'x="{x - 4:.1f}" text-anchor="end"' if is_near_end else f'x="{x + 4:.1f}"'
    return (
        f'<line class="switch" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{HEIGHT + 18}"/>'
        f'<text {place} y="11">{escaped(expert.replace("_", " "))} expert</text>'
    )


def _axis(most: int) -> str:
    return (
        f'<text x="{MARGIN - 6}" y="26" text-anchor="end">{most}</text>'
        f'<text x="{MARGIN - 6}" y="{HEIGHT}" text-anchor="end">0</text>'
        f'<text x="11" y="{HEIGHT / 2 + 40}" transform="rotate(-90 11 {HEIGHT / 2 + 40})">latent frames</text>'
        f'<text x="{MARGIN}" y="{HEIGHT + 30}">denoising step (counted from 1)</text>'
    )


def _legend() -> str:
    swatches = "".join(f"{_swatch(name)} {escaped(text)}<br>" for name, text in _SWATCHES)
    return (
        f'<p class="quiet">{swatches}The height of a bar is the number of latent frames that the step denoises; the '
        "dashed line is where the other expert takes over. Cost grows with the number and the height of the bars.</p>"
    )


def _swatch(name: str) -> str:
    square = f'<rect class="{name}" x="1" y="1" width="11" height="11"/>'
    return f'<svg width="13" height="13" aria-hidden="true">{square}</svg>'
