"""The functions that the founding documents name, exactly: arrays and tensors, frames before channels, refusals."""

import math

import numpy as np
import pytest
import torch

import analyze_continuity_simple
from wan.analysis import founding
from wan.analysis.founding import (
    analyze_latent_continuity,
    compute_cosine_similarity,
    compute_normalized_l2_distance,
)


def test_the_founding_import_gives_these_functions() -> None:
    for name in ("analyze_latent_continuity", "compute_cosine_similarity", "compute_normalized_l2_distance"):
        assert getattr(analyze_continuity_simple, name) is getattr(founding, name)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, lambda v: torch.tensor(v, dtype=torch.bfloat16)])
def test_seed_functions_by_hand(kind: object) -> None:
    assert callable(kind)
    first, second = kind([[[3.0, 4.0]]]), kind([[[6.0, 8.0]]])
    assert compute_normalized_l2_distance(first, second) == pytest.approx(5 / math.sqrt(125))
    assert compute_cosine_similarity(first, second) == pytest.approx(1.0)
    assert compute_normalized_l2_distance(first, first) == 0.0
    assert compute_cosine_similarity(first, -second) == pytest.approx(-1.0)


def test_analyze_latent_continuity_takes_frames_before_channels() -> None:
    frames = torch.zeros(3, 2, 1, 1)  # F, C, H, W
    frames[:, 0, 0, 0], frames[:, 1, 0, 0] = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 1.0])
    assert analyze_latent_continuity(frames, 0) == pytest.approx((0.5, 0.5))  # orthogonal, then equal
    batch = torch.stack([frames, torch.ones_like(frames)])
    assert analyze_latent_continuity(batch, 0) == pytest.approx((0.25, 0.75))
    with pytest.raises(ValueError, match=r"step 4: latent must be \[F, C, H, W\].*not \(2, 3\)"):
        analyze_latent_continuity(torch.zeros(2, 3), 4)
    with pytest.raises(ValueError, match="F of at least 2"):
        analyze_latent_continuity(torch.zeros(1, 2, 3, 3), 0)
