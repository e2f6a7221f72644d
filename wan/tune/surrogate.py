"""Which steps to keep, estimated without a forward: projections of recorded states, weighted by measured amplification.

A plan that evaluates the network at a subset of the recorded sigmas reaches, at each of them, at best the projection of
the recorded state onto the run's noise and the denoised estimates evaluated before: x_j - P x_j is the error that the
step makes. Only Gram matrices of the recording are needed for its size, r_j^2. An error made at sigma reaches the end
amplified by a factor g(sigma), so that the plan's error is estimated as

    sum over its steps of g(sigma_j)^2 r_j^2.

The states that a projection may use are those of the plan: recorded states in between know of evaluations that the plan
leaves out, and a surrogate that uses them predicts plans that collapse.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from wan.tune.fitting import RIDGE, inner_products
from wan.tune.recording import Recording

BEAM = 12
MAX_STRIDE = 7
"""A plan leaves out at most so many recorded steps less one in a row."""


class Surrogate:
    """Estimated errors of plans on the recorded sigmas; a plan is the tuple of the recorded steps it keeps."""

    def __init__(self, recording: Recording, amplification: Sequence[float]) -> None:
        """``amplification``: g at every recorded sigma, the final one (1) included."""
        self._steps = len(recording.sigmas) - 1
        self._gram = _gram(recording)
        self._pooled = self._gram.mean(axis=0)
        self._amplification = tuple(amplification)
        self._error_known = lru_cache(maxsize=None)(self._error_of_step)

    def error(self, kept: Sequence[int]) -> np.ndarray:
        """(clips,) relative squared error of the final latents."""
        ends = [*kept[1:], self._steps]
        return sum(
            (self._weighted(tuple(kept[: place + 1]), end) for place, end in enumerate(ends)), np.zeros(len(self._gram))
        )

    def propose(self, count: int) -> list[tuple[int, ...]]:
        """The best plans of ``count`` steps that a beam search finds, best first; the first recorded step is in all."""
        beam: list[tuple[float, np.ndarray, tuple[int, ...]]] = [(0.0, np.zeros(len(self._gram)), (0,))]
        for _ in range(count - 1):
            grown = [
                self._grown(error, kept, following)
                for _, error, kept in beam
                for following in range(kept[-1] + 1, min(kept[-1] + MAX_STRIDE, self._steps - 1) + 1)
            ]
            beam = _best(grown, self._steps)
        finished = [self._grown(error, kept, self._steps) for _, error, kept in beam]
        return [kept[:-1] for _, _, kept in sorted(finished, key=lambda item: item[0])]

    def _grown(
        self, error: np.ndarray, kept: tuple[int, ...], following: int
    ) -> tuple[float, np.ndarray, tuple[int, ...]]:
        total = error + self._weighted(kept, following)
        return float(-decibels(total).mean()), total, (*kept, following)

    def _weighted(self, kept: tuple[int, ...], end: int) -> np.ndarray:
        return self._amplification[end] ** 2 * self._error_known(kept, end)

    def _error_of_step(self, kept: tuple[int, ...], end: int) -> np.ndarray:
        states, steps = self._steps + 1, self._steps
        used = [0, *(states + step for step in kept), *(states + steps + step for step in kept)]
        gram, right = self._pooled[np.ix_(used, used)], self._pooled[used, end]
        scale = np.sqrt(gram.diagonal())
        system = gram / np.outer(scale, scale) + RIDGE * np.eye(len(used))
        combination = np.append(np.linalg.solve(system, right / scale) / scale, -1.0)
        block = self._gram[:, [*used, end]][:, :, [*used, end]]
        squared: np.ndarray = np.einsum("nij,i,j->n", block, combination, combination)
        return squared.clip(min=1e-12)


def decibels(relative_error: np.ndarray) -> np.ndarray:
    """A relative squared error as a signal-to-noise ratio in dB."""
    quality: np.ndarray = -10.0 * np.log10(np.maximum(relative_error, 1e-12))
    return quality


def _best(
    grown: list[tuple[float, np.ndarray, tuple[int, ...]]], steps: int
) -> list[tuple[float, np.ndarray, tuple[int, ...]]]:
    """The ``BEAM`` best of every last kept step: plans that stand at different sigmas cannot be compared."""
    kept: list[tuple[float, np.ndarray, tuple[int, ...]]] = []
    for last in range(steps):
        own = sorted((item for item in grown if item[2][-1] == last), key=lambda item: item[0])
        kept += own[:BEAM]
    return kept


def _gram(recording: Recording) -> np.ndarray:
    """(clips, n, n) inner products of all states and estimates, in units of the clip's final latents."""
    tensors = [*recording.states, *recording.cond, *recording.uncond]
    clips = range(len(recording.final))
    grams = torch.stack([inner_products([tensor[clip] for tensor in tensors]) for clip in clips])
    final = grams[:, len(recording.sigmas) - 1, len(recording.sigmas) - 1]
    gram: np.ndarray = (grams / final[:, None, None]).numpy()
    return gram
