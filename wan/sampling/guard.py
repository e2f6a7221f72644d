"""The collapse guard: says at which step a run leaves what the calibration of its plan saw."""

from collections.abc import Callable

import torch
from torch import Tensor

from wan.sampling.carried import Carries
from wan.sampling.completion import FRAME_AXIS
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan, Seen

MARGIN = 0.5
"""A value may lie outside the seen range by this share of its width: the calibration saw few clips."""


def norm_and_motion(event: StepEvent) -> tuple[Tensor, Tensor]:
    """Root mean square (B,) of the guided denoised estimate x0, and of its change from latent frame to latent frame
    (0 for a single frame)."""
    denoised = event.latents_in - event.step.sigma * event.velocity
    change = denoised.diff(dim=FRAME_AXIS)
    norm = denoised.flatten(1).square().mean(1).sqrt()
    motion = change.flatten(1).square().mean(1).sqrt() if change.numel() else torch.zeros_like(norm)
    return norm, motion


class CollapseGuard(Observer, Carries):
    """Warns once, at the first step whose estimate lies outside what the calibration's runs showed there."""

    carries = ("_has_warned",)

    def __init__(self, plan: Plan, warn: Callable[[str], None]) -> None:
        self._seen = plan.seen
        self._warn = warn
        self._has_warned = False

    def on_step_end(self, event: StepEvent) -> None:
        index = event.step.index
        seen = self._seen[index] if index < len(self._seen) else None
        if seen is None or self._has_warned:
            return
        norm, motion = norm_and_motion(event)
        for name, values, (low, high) in (("size", norm, seen.norm), ("motion", motion, seen.motion)):
            slack = MARGIN * (high - low)
            outside = [value for value in values.tolist() if not low - slack <= value <= high + slack]
            if outside:
                self._has_warned = True
                self._warn(
                    f"step {index + 1} (sigma {event.step.sigma:.4f}): the {name} of the denoised estimate is "
                    f"{outside[0]:.3g}, and the runs of this plan's calibration had {low:.3g} to {high:.3g} there: the "
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
