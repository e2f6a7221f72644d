"""The yardstick of truth, which only the demo world has: what a clip should show is known, and can be rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wan.analysis.frechet import LEAST_VECTORS, Gaussian, fit, frechet_distance
from wan.demo_world.clips import PIXEL_FRAMES, SIZE
from wan.demo_world.detector import read_clip
from wan.demo_world.features import FEATURES, clip_features
from wan.demo_world.reference import Reference, make_reference, rendered_residuals
from wan.demo_world.words import Combination, all_combinations
from wan.instruments.flags import DEMO_TASK, Case
from wan.sampling.geometry import Geometry

FLOOR_DRAWS = 8
_FLOOR_SEED = 1


def has_truth(task: str, geometry: Geometry, cases: Sequence[Case]) -> bool:
    """Whether the clips are the demo world's own, in the shape that its detector and its renderer know."""
    shape = (geometry.pixel_frames, geometry.height, geometry.width)
    known = captions()
    return task == DEMO_TASK and shape == (PIXEL_FRAMES, SIZE, SIZE) and all(case.prompt in known for case in cases)


def captions() -> dict[str, Combination]:
    """What every caption of the demo world shows."""
    return {one.caption(): one for one in all_combinations()}


def read_truth(video: np.ndarray, shown: Combination) -> dict[str, Any]:
    """Whether the detector reads what was asked from a video (N, H, W, 3), attribute by attribute, and its features."""
    agrees = read_clip(torch.from_numpy(video).permute(3, 0, 1, 2)).agrees(shown)
    return {"agrees": agrees, "features": dict(zip(FEATURES, clip_features(video).tolist(), strict=True))}


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The Frechet distance of as many renders as there are clips: mean and largest of ``FLOOR_DRAWS`` draws."""

    mean: float
    largest: float


class Judge:
    """Frechet distances to rendered clips of the same captions."""

    def __init__(self, combinations: Sequence[Combination]) -> None:
        """``combinations``: what the clips of the arena show, one for each clip."""
        self._asked = list(combinations)
        self._reference: Reference = make_reference(self._asked)
        self._rendered: Gaussian = fit(self._reference.residuals)

    def distance(self, truths: Sequence[tuple[Mapping[str, float], Combination]]) -> float | None:
        """Of some clips' features, each with what it should show; None for too few clips."""
        if len(truths) < LEAST_VECTORS:
            return None
        residuals = [
            self._reference.residual(np.array([features[name] for name in FEATURES]), shown)
            for features, shown in truths
        ]
        return frechet_distance(fit(np.stack(residuals)), self._rendered)

    def floor(self) -> Floor | None:
        """Renders with other positions, sizes and speeds against the reference; None for too few clips."""
        if len(self._asked) < LEAST_VECTORS:
            return None
        generator = torch.Generator().manual_seed(_FLOOR_SEED)
        draws = [
            frechet_distance(fit(rendered_residuals(self._reference, self._asked, generator=generator)), self._rendered)
            for _ in range(FLOOR_DRAWS)
        ]
        return Floor(mean=float(np.mean(draws)), largest=max(draws))
