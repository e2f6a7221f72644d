"""``from analyze_continuity_simple import ...`` as the founding documents write it: see wan.analysis.founding."""

from wan.analysis.founding import (
    analyze_latent_continuity,
    compute_cosine_similarity,
    compute_normalized_l2_distance,
)

__all__ = ["analyze_latent_continuity", "compute_cosine_similarity", "compute_normalized_l2_distance"]
