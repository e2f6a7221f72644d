"""The state of a run: everything frame-shaped that lives from step to step, in one object."""

from dataclasses import dataclass

from torch import Tensor

from wan.sampling.plan import Expert
from wan.sampling.solvers import Solver


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftFrames:
    """All frames (B, C, L, h, w) at the moment when every second one was left out: at ``sigma``, and their last x0."""

    latents: Tensor
    denoised: Tensor
    sigma: float


@dataclass(kw_only=True, slots=True)
class SamplerState:
    """Latents (B, C, F, h, w), the noise of ALL frames (B, C, L, h, w), the solver's history, the last CFG difference
    and the expert that measured it, and what was left out.

    A position keeps its noise for the whole run: a stage on fewer frames indexes ``noise``, it never draws anew.
    """

    latents: Tensor
    noise: Tensor
    solver: Solver
    delta: Tensor | None = None
    expert: Expert | None = None
    left: LeftFrames | None = None
