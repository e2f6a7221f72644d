"""The Frechet distance between two sets of feature vectors, made sound for few vectors: shrunk covariances, no square
root of a product that is not symmetric."""

from dataclasses import dataclass

import numpy as np

LEAST_VECTORS = 4
"""Fewer vectors say nothing about a covariance."""


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """The moments of a set of vectors: ``mean`` (D,) and ``covariance`` (D, D), symmetric and not negative."""

    mean: np.ndarray
    covariance: np.ndarray


def fit(vectors: np.ndarray) -> Gaussian:
    """Mean and shrunk covariance of vectors (N, D); ValueError for fewer than ``LEAST_VECTORS``."""
    if vectors.ndim != 2 or len(vectors) < LEAST_VECTORS:
        raise ValueError(f"a Frechet distance needs at least {LEAST_VECTORS} vectors (N, D), not {vectors.shape}")
    return Gaussian(mean=vectors.mean(axis=0), covariance=shrunk_covariance(vectors))


def shrunk_covariance(vectors: np.ndarray) -> np.ndarray:
    """Covariance (D, D) of vectors (N, D), drawn towards a multiple of the identity as far as N is small.

    Oracle approximating shrinkage (Chen, Wiesel, Eldar, Hero 2010, eq. 23): (1 - r) S + r tr(S) / D I with
    r = min(1, ((1 - 2 / D) tr(S^2) + tr(S)^2) / ((N + 1 - 2 / D) (tr(S^2) - tr(S)^2 / D))), S the covariance over N.
    It needs no inverse and is right for N < D too.
    """
    count, size = vectors.shape
    centred = vectors - vectors.mean(axis=0)
    sample = centred.T @ centred / count
    trace, square = float(np.trace(sample)), float(np.sum(sample * sample))
    above = (1.0 - 2.0 / size) * square + trace**2
    below = (count + 1.0 - 2.0 / size) * (square - trace**2 / size)
    weight = 1.0 if below <= 0.0 else min(1.0, above / below)
    return (1.0 - weight) * sample + weight * trace / size * np.eye(size)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2)), the squared 2-Wasserstein distance of two Gaussians
    (Dowson and Landau 1982). Both roots are of symmetric matrices, by their eigenvalues; never negative."""
    root = _root(one.covariance)
    cross = np.linalg.eigvalsh(root @ other.covariance @ root)
    spread = np.trace(one.covariance) + np.trace(other.covariance) - 2.0 * np.sqrt(np.maximum(cross, 0.0)).sum()
    return max(0.0, float(np.square(one.mean - other.mean).sum() + spread))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
