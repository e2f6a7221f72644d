"""Curves over the frames of two videos that are compared: how much each moves, and how continuous its latents are."""

from typing import Any

import numpy as np

from wan.analysis.continuity import measure_pairs
from wan.analysis.metrics import motion_per_frame


def frame_curves(
    method: np.ndarray, baseline: np.ndarray, *, method_latents: np.ndarray, baseline_latents: np.ndarray
) -> dict[str, Any]:
    """``motion`` of videos (N, H, W, 3), N - 1 values, and ``continuity`` of latents (C, F, h, w), F - 1 values.

    Continuity is the normalised L2 difference of neighbouring latent frames (``wan.analysis.continuity``): 0 equal,
    1 as far apart as independent noise. A single frame has no neighbour, and empty curves.
    """
    return {
        "motion": {"method": list(motion_per_frame(method)), "baseline": list(motion_per_frame(baseline))},
        "continuity": {"method": _continuity(method_latents), "baseline": _continuity(baseline_latents)},
    }


def _continuity(latents: np.ndarray) -> list[float]:
    return list(measure_pairs(latents).normalized_l2) if latents.shape[1] > 1 else []
