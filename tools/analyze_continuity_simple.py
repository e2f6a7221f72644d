"""The founding command for ``wan continuity-demo``, and the founding functions: continuity without a model."""

import sys
from pathlib import Path

from door import open_door

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan.analysis.founding import (
    analyze_latent_continuity,
    compute_cosine_similarity,
    compute_normalized_l2_distance,
)

__all__ = ["analyze_latent_continuity", "compute_cosine_similarity", "compute_normalized_l2_distance"]

if __name__ == "__main__":
    open_door("continuity-demo")
