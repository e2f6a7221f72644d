"""The functions that the founding documents name for temporal continuity, with their names, shapes and meaning."""

from typing import Any

import numpy as np

from wan.analysis.continuity import cosine_similarity, measure_pairs, normalized_l2


def compute_normalized_l2_distance(latent_f: Any, latent_f_plus_1: Any) -> float:
    """||b - a|| / sqrt(||a||^2 + ||b||^2) of two latent frames [C, H, W], arrays or tensors; smaller is more alike.

    In [0, sqrt 2]: 0 for equal frames, about 1 for independent noise.
    """
    return normalized_l2(_as_array(latent_f), _as_array(latent_f_plus_1))


def compute_cosine_similarity(latent_f: Any, latent_f_plus_1: Any) -> float:
    """Cosine of the angle between two latent frames [C, H, W], arrays or tensors, in [-1, 1]."""
    return cosine_similarity(_as_array(latent_f), _as_array(latent_f_plus_1))


def analyze_latent_continuity(latent: Any, step_idx: int) -> tuple[float, float]:
    """(mean normalised L2 distance, mean cosine similarity) over all pairs of neighbouring frames of one step.

    ``latent`` is [F, C, H, W] or [B, F, C, H, W] (frames before channels; the mean is also over the batch);
    ``step_idx`` only names the step in an error. ValueError for another shape or fewer than two frames.
    """
    frames = _as_array(latent)
    batch = frames[None] if frames.ndim == 4 else frames
    if batch.ndim != 5 or batch.shape[1] < 2:
        raise ValueError(
            f"step {step_idx}: latent must be [F, C, H, W] or [B, F, C, H, W] with F of at least 2, not {frames.shape}"
        )
    pairs = [measure_pairs(np.moveaxis(video, 0, 1)) for video in batch]
    return float(np.mean([p.normalized_l2 for p in pairs])), float(np.mean([p.cosine for p in pairs]))


def _as_array(values: Any) -> np.ndarray:
    """A tensor of any dtype and device, or an array, as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype=np.float64)
