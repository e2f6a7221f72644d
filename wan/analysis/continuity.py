"""Temporal continuity: how much neighbouring latent frames differ at every step, and what noise alone explains.

Latents are float arrays (C, F, h, w). Three spaces of one step are measured: x_t (noisy), x0 (denoised estimate) and
eps (implied noise); x_t = (1 - sigma) x0 + sigma eps holds in every step.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SPACES = ("x_t", "x0", "eps")


@dataclass(frozen=True, kw_only=True, slots=True)
class PairMeasures:
    """One value per pair of neighbouring frames, F - 1 of each."""

    mse: tuple[float, ...]
    normalized_l2: tuple[float, ...]
    cosine: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Mean and standard deviation over the pairs, and the pairs themselves."""
        values = {"mse": self.mse, "normalized_l2": self.normalized_l2, "cosine": self.cosine}
        return {
            name: {"mean": float(np.mean(pairs)), "std": float(np.std(pairs)), "pairs": list(pairs)}
            for name, pairs in values.items()
        }


def normalized_l2(first: np.ndarray, second: np.ndarray) -> float:
    """||b - a|| / sqrt(||a||^2 + ||b||^2), in [0, sqrt 2]: 0 equal, 1 orthogonal (independent noise), sqrt 2 opposite.

    At equal norms it is sqrt(1 - cosine); at unequal ones larger, where the cosine is positive. Two zero frames: 0.
    """
    scale = math.sqrt(_dot(first, first) + _dot(second, second))
    difference = second - first
    return math.sqrt(_dot(difference, difference)) / scale if scale else 0.0


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """<a, b> / (||a|| ||b||), in [-1, 1]; 1 for two zero frames, 0 when only one is zero."""
    a, b = math.sqrt(_dot(first, first)), math.sqrt(_dot(second, second))
    if a == 0.0 or b == 0.0:
        return 1.0 if a == b else 0.0
    return min(1.0, max(-1.0, _dot(first, second) / (a * b)))


def adjacent_mse(latents: np.ndarray) -> tuple[float, ...]:
    """Mean squared difference of every two neighbouring frames of (C, F, h, w), F - 1 values."""
    squares = np.square(np.diff(latents.astype(np.float64, copy=False), axis=1))
    return tuple(squares.mean(axis=(0, 2, 3)).tolist())


def measure_pairs(latents: np.ndarray) -> PairMeasures:
    """Every measure of every two neighbouring frames of (C, F, h, w); ValueError below two frames."""
    if latents.ndim != 4 or latents.shape[1] < 2:
        raise ValueError(f"continuity needs latents (C, F, h, w) with at least 2 frames, not {latents.shape}")
    pairs = [(latents[:, f], latents[:, f + 1]) for f in range(latents.shape[1] - 1)]
    return PairMeasures(
        mse=adjacent_mse(latents),
        normalized_l2=tuple(normalized_l2(a, b) for a, b in pairs),
        cosine=tuple(cosine_similarity(a, b) for a, b in pairs),
    )


def independent_noise_mse(sigma: float, x0_mse: float) -> float:
    """Expected MSE of neighbours of (1 - sigma) x0 + sigma eps with independent unit noise per frame.

    2 sigma^2 + (1 - sigma)^2 MSE(x0): the variance of the difference of two independent standard normals is 2.
    """
    return 2.0 * sigma**2 + (1.0 - sigma) ** 2 * x0_mse


def phase_ranges(steps: int) -> dict[str, range]:
    """Early, middle and late step numbers (from 1): 1-5, 6-10, 11-20 of 20; a quarter, a quarter and half in general.

    With one or two steps a range is empty.
    """
    first, second = math.ceil(steps / 4), math.ceil(steps / 2)
    return {"early": range(1, first + 1), "middle": range(first + 1, second + 1), "late": range(second + 1, steps + 1)}


def phase_means(values: Sequence[float]) -> dict[str, float | None]:
    """Mean of a per-step curve over every phase; None where the phase has no step."""
    means: dict[str, float | None] = {}
    for phase, numbers in phase_ranges(len(values)).items():
        chosen = [values[number - 1] for number in numbers]
        means[phase] = float(np.mean(chosen)) if chosen else None
    return means


def format_phases(title: str, curves: Mapping[str, Sequence[float]]) -> str:
    """The seeds' table: the mean of every per-step curve, by its heading, in the early, middle and late steps."""
    lines = [f"Temporal Continuity Statistics ({title})", "=" * 40]
    for heading, curve in curves.items():
        lines.append(f"{heading}:")
        ranges = phase_ranges(len(curve))
        for phase, mean in phase_means(curve).items():
            if mean is not None:
                name = f"{phase.capitalize()} steps ({ranges[phase].start}-{ranges[phase].stop - 1}):"
                lines.append(f"  {name:<22} Mean = {mean:.4f}")
    return "\n".join([*lines, "=" * 40])


def steps_until_meeting(
    curve: Sequence[float], reference: Sequence[float], *, start: int, tolerance: float
) -> int | None:
    """Steps after index ``start`` from which both curves stay within ``tolerance`` (relative) to the end.

    0: they agree at once; None: they never do. Both curves have one value per step.
    """
    gaps = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(curve, reference, strict=True)]
    apart = [index for index, gap in enumerate(gaps) if gap > tolerance and index >= start]
    if not apart:
        return 0
    return None if apart[-1] == len(gaps) - 1 else apart[-1] + 1 - start


def _dot(first: np.ndarray, second: np.ndarray) -> float:
    # float64: float32 sums over a 720p frame lose digits
    return float(np.vdot(first.astype(np.float64, copy=False), second.astype(np.float64, copy=False)))
