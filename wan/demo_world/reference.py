"""What rendered clips of a caption look like in the feature space, and how far a clip is from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from wan.demo_world.clips import as_indices, render, sample_clips
from wan.demo_world.features import FEATURES, clip_features
from wan.demo_world.words import Combination

# Renders of every caption: for its mean and the spread, and for the set that others are held against.
CENTRES, REFERENCES = 16, 8
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Rendered clips of some captions. ``centres`` (D,) by caption; ``spread`` (D,): the standard deviation about the
    own caption's centre, over all captions; ``residuals`` (N, D) of other renders of them."""

    centres: Mapping[Combination, np.ndarray]
    spread: np.ndarray
    residuals: np.ndarray

    def residual(self, features: np.ndarray, shown: Combination) -> np.ndarray:
        """How far features (D,) are from those of the caption's renders: asinh((f - centre) / spread), D numbers of
        about unit spread. The asinh keeps one broken clip from ruling a mean."""
        return np.arcsinh((features - self.centres[shown]) / self.spread)


def make_reference(combinations: Sequence[Combination], *, seed: int = 0) -> Reference:
    """Render ``CENTRES`` clips of every caption for its centre and ``REFERENCES`` others for the residuals, with random
    positions, sizes, speeds and colour jitter."""
    generator = torch.Generator().manual_seed(seed)
    known = list(dict.fromkeys(combinations))
    first = {one: rendered_features([one] * CENTRES, generator=generator) for one in known}
    centres = {one: found.mean(axis=0) for one, found in first.items()}
    inside = np.mean([found.var(axis=0, ddof=1) for found in first.values()], axis=0)
    spread = np.maximum(np.sqrt(inside), _LEAST_SPREAD)
    bare = Reference(centres=centres, spread=spread, residuals=np.empty((0, len(FEATURES))))
    return Reference(
        centres=centres, spread=spread, residuals=rendered_residuals(bare, known * REFERENCES, generator=generator)
    )


def rendered_residuals(
    reference: Reference, combinations: Iterable[Combination], *, generator: torch.Generator
) -> np.ndarray:
    """Residuals (N, D) of new renders, one for each of ``combinations``."""
    shown = list(combinations)
    found = rendered_features(shown, generator=generator)
    return np.stack([reference.residual(features, one) for features, one in zip(found, shown, strict=True)])


def rendered_features(combinations: Sequence[Combination], *, generator: torch.Generator) -> np.ndarray:
    """Features (N, D) of one new render for each of ``combinations``."""
    clips = render(sample_clips(as_indices(tuple(combinations)), generator=generator))
    return np.stack([clip_features(clip.permute(1, 2, 3, 0).numpy()) for clip in clips])
