"""The sigma grids of the solvers, in numpy; the official ones bit for bit (they are not diffusers' defaults).

Flow matching: x = (1 - sigma) x0 + sigma eps; a shift s bends a linear grid g to sigma = s g / (1 + (s - 1) g)
(Esser et al. 2024, eq. 23).
"""

from dataclasses import dataclass

import numpy as np

NUM_TRAIN_TIMESTEPS = 1000
SOLVER_NAMES = ("unipc", "dpm++", "euler")
"""The first two are the official ones; distilled LoRAs are made for the third."""
FITTED = "fitted"
"""The solver of stored plans: its weights stand in the plan, so nobody chooses it by name."""
# The official UniPC grid starts at 1 - 1/1000, kept in float32 by its noise table, instead of at 1.
_UNIPC_START = float(np.float32(0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class SigmaGrid:
    """``steps`` + 1 sigmas (float32 values, the last one 0) and ``steps`` integer timesteps (0..1000)."""

    sigmas: tuple[float, ...]
    timesteps: tuple[int, ...]


def sigma_grid(solver: str, *, steps: int, shift: float) -> SigmaGrid:
    """The grid that the official code samples on; Euler's begins at 1, as those of published distilled models do.

    The timestep is truncated in float64: the checkpoints were trained on truncated values. Two neighbours may share a
    timestep (UniPC at 92 or 120 steps and shift 12); sigmas still differ, and the solvers here count steps by index.
    """
    starts = {"unipc": _UNIPC_START, "dpm++": 1.0, "euler": 1.0}
    linear = np.linspace(starts[solver], 0.0, steps + 1)[:-1]
    shifted = shift * linear / (1 + (shift - 1) * linear)
    timesteps = (NUM_TRAIN_TIMESTEPS * shifted).astype(np.int64)
    sigmas = np.append(shifted, 0.0).astype(np.float32)
    return SigmaGrid(sigmas=tuple(sigmas.tolist()), timesteps=tuple(timesteps.tolist()))
