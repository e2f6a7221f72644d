"""The spectrum of a video over time: how much of it changes faster than half of the frames could show, and from which
noise level on.

Over latent frames an orthonormal DCT-II (Ahmed et al. 1974) keeps white noise white: noise of variance 1 has a power
of 1 in every band, so that at noise level sigma a band of signal power P has (1 - sigma)^2 P against sigma^2. A band
is visible from the sigma on at which the two are equal (SPEED, arXiv 2605.18736, does so in space):

    sigma = sqrt(P) / (1 + sqrt(P))
"""

import math

import numpy as np

from wan.sampling.geometry import half_latent_frames


def temporal_power(latents: np.ndarray) -> np.ndarray:
    """(..., C, F, h, w) to (F,): mean power of each band, the constant one first. They add up to F mean squares."""
    moved = np.moveaxis(np.asarray(latents, dtype=np.float64), -3, -1)
    bands = moved @ _dct_basis(moved.shape[-1]).T
    power: np.ndarray = np.square(bands).reshape(-1, bands.shape[-1]).mean(axis=0)
    return power


def upper_share(power: np.ndarray) -> float:
    """The share of the bands that every second frame cannot show, ceil(F/2) and up, in all that changes in time."""
    changing = float(power[1:].sum())
    return float(power[half_latent_frames(len(power)) :].sum()) / changing if changing else 0.0


def visible_sigma(power: float) -> float:
    """The noise level below which a band of that power stands out of the noise."""
    return math.sqrt(power) / (1.0 + math.sqrt(power))


def upper_visible_sigma(power: np.ndarray) -> float:
    """``visible_sigma`` of the bands that every second frame cannot show, by their mean power."""
    upper = power[half_latent_frames(len(power)) :]
    return visible_sigma(float(upper.mean())) if upper.size else 0.0


def _dct_basis(frames: int) -> np.ndarray:
    """(bands, frames), orthonormal rows."""
    band, frame = np.arange(frames)[:, None], np.arange(frames)[None, :]
    basis = np.cos(np.pi * band * (2 * frame + 1) / (2 * frames)) * np.sqrt(2.0 / frames)
    basis[0] /= np.sqrt(2.0)
    return basis
