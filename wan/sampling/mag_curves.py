"""MagCache's curves: how the size of the blocks' residual changes from step to step, per task, expert and branch.

r_t is the mean over tokens of |residual_t| / |residual_{t-1}|, where the residual is the output of the last block minus
the input of the first one (MagCache, arXiv 2506.09045, eq. 6). Published ones for Wan2.2, our own for the demo model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.sampling.guidance import Branch
from wan.sampling.plan import Expert

CURVES_FILE = Path(__file__).resolve().parents[1] / "caches" / "magcache_ratios.json"

# Tasks without a curve of their own; Wan2.1 and the 5B model of Wan2.2 have one expert, and much the same curve.
NEAREST = {
    "t2v-14B": "ti2v-5B",
    "t2v-1.3B": "ti2v-5B",
    "t2i-14B": "ti2v-5B",
    "i2v-14B": "ti2v-5B-image",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MagCurve:
    """One calibrated run: a ratio per step and branch, and with which settings it was made.

    ``high_noise_steps``: how many of its ``steps`` the high-noise expert made. ``retention``: the published share of an
    expert's first steps that are never skipped. ``skipping_experts``: the experts in which steps may be skipped at all.
    """

    name: str
    source: str
    steps: int
    shift: float
    high_noise_steps: int
    retention: float
    skipping_experts: tuple[str, ...]
    cond: tuple[float, ...]
    uncond: tuple[float, ...]

    def of_expert(self, expert: Expert, branch: Branch, *, steps: int) -> list[float]:
        """The ratios of one expert, stretched to ``steps`` steps by taking the nearest."""
        ratios = self.cond if branch is Branch.COND else self.uncond
        own = ratios[: self.high_noise_steps] if expert is Expert.HIGH_NOISE else ratios[self.high_noise_steps :]
        return nearest(own, steps)


def nearest(values: Sequence[float], count: int) -> list[float]:
    """``count`` values, each the one that stands nearest when both sequences are laid over the same length."""
    scale = (len(values) - 1) / max(1, count - 1)
    return [values[round(index * scale)] for index in range(count)]


def find_curve(task: str | None) -> tuple[MagCurve, list[str]]:
    """The curve of a task (``ti2v-5B-image``: with an image), or the nearest published one with a sentence that says
    so; ``InvalidInput`` when there is neither."""
    curves = load_curves()
    if task in curves:
        return curves[task], []
    if task not in NEAREST:
        raise InvalidInput(
            f"--cache mag has no calibrated curve for {task or 'this model'} (there are: {', '.join(curves)}); "
            "use --cache sea, which needs none"
        )
    name = NEAREST[task]
    return curves[name], [
        f"--cache mag has no curve of {task} and takes that of {name}: it is not calibrated on this checkpoint"
    ]


def load_curves() -> dict[str, MagCurve]:
    """All curves that ship with the package, by name."""
    curves = json.loads(CURVES_FILE.read_text(encoding="utf-8"))["curves"]
    return {name: _curve(name, values) for name, values in curves.items()}


def _curve(name: str, values: dict[str, Any]) -> MagCurve:
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return MagCurve(name=name, **fields)
