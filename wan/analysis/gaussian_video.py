"""A video model that can be solved by hand: Gaussian frames with correlation rho^|f - g|, and their exact flow.

In the eigenbasis of the frame correlation every mode of variance v starts as noise of variance 1 and stays
z sqrt((1 - sigma)^2 v + sigma^2): the flow-matching ODE dx/dsigma = E[eps - x0 | x] has this solution, and
E[x0 | x] = (1 - sigma) v / ((1 - sigma)^2 v + sigma^2) x. What a perfect denoiser would show, without any network.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowState:
    """One instant of the exact flow, arrays (C, F, h, w): x_t = (1 - sigma) x0 + sigma eps."""

    x_t: np.ndarray
    x0: np.ndarray
    eps: np.ndarray


@dataclass(frozen=True, slots=True)
class GaussianVideo:
    """Frame variances and modes (columns of ``modes``, frames x modes) of a stationary AR(1) video of unit variance."""

    variances: np.ndarray
    modes: np.ndarray

    @classmethod
    def with_correlation(cls, rho: float, frames: int) -> "GaussianVideo":
        """Neighbouring frames correlate by ``rho`` in [0, 1): their x0 differ by an MSE of 2 (1 - rho)."""
        index = np.arange(frames)
        variances, modes = np.linalg.eigh(rho ** np.abs(index[:, None] - index[None, :]))
        return cls(variances, modes)

    def at(self, sigma: float, noise: np.ndarray) -> FlowState:
        """Where the flow that starts at ``noise`` (C, F, h, w) at sigma 1 is at ``sigma``."""
        variances = self.variances[:, None, None]
        total = (1.0 - sigma) ** 2 * variances + sigma**2
        modes = np.einsum("fm,cfhw->cmhw", self.modes, noise)
        x_t = modes * np.sqrt(total)
        return FlowState(
            x_t=self._frames(x_t),
            x0=self._frames(x_t * (1.0 - sigma) * variances / total),
            eps=self._frames(x_t * sigma / total),
        )

    def _frames(self, modes: np.ndarray) -> np.ndarray:
        return np.einsum("fm,cmhw->cfhw", self.modes, modes)
