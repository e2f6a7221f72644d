"""The collapse guard: says at which step a run leaves what the calibration of its plan saw."""

from collections.abc import Callable

import torch
from torch import Tensor

from wan.sampling.completion import FRAME_AXIS
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan, Seen

MARGIN = 0.5
"""A value may lie outside the seen range by this share of its width: the calibration saw few clips."""


def norm_and_motion(event: StepEvent) -> tuple[Tensor, Tensor]:
    """(B,) root mean square of the guided denoised estimate x0, and of its change from latent frame to latent frame
    (0 for a single frame)."""
    denoised = event.latents_in - event.step.sigma * event.velocity
    change = denoised.diff(dim=FRAME_AXIS)
    norm = denoised.flatten(1).square().mean(1).sqrt()
    motion = change.flatten(1).square().mean(1).sqrt() if change.numel() else torch.zeros_like(norm)
    return norm, motion


class CollapseGuard(Observer):
    """Warns once, at the first step whose estimate lies outside what the calibration's runs showed there."""

    def __init__(self, plan: Plan, warn: Callable[[str], None]) -> None:
        self._seen = dict(zip((step.index for step in plan.steps), plan.seen, strict=False))
        self._warn = warn
        self._has_warned = False

    def on_step_end(self, event: StepEvent) -> None:
        seen = self._seen.get(event.step.index)
        if seen is None or self._has_warned:
            return
        norm, motion = (float(values.max()) for values in norm_and_motion(event))
        for name, value, (low, high) in (("size", norm, seen.norm), ("motion", motion, seen.motion)):
            slack = MARGIN * (high - low)
            if not low - slack <= value <= high + slack:
                self._has_warned = True
                self._warn(
                    f"step {event.step.index + 1} (sigma {event.step.sigma:.4f}): the {name} of the denoised estimate "
                    f"is {value:.3g}, and the runs of this plan's calibration had {low:.3g} to {high:.3g} there: the "
                    "plan's expected error may not hold for this video; a higher --budget is safer, --budget 1 exact"
                )
                return


class SeenRecorder(Observer):
    """Collects, step by step, what a guard compares with; the clips of the calibration run as one batch."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def on_step_end(self, event: StepEvent) -> None:
        norm, motion = norm_and_motion(event)
        self.seen.append(Seen(norm=_range(norm), motion=_range(motion)))


def _range(values: Tensor) -> tuple[float, float]:
    return float(values.min()), float(values.max())
