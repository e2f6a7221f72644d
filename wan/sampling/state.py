"""The state of a run: everything frame-shaped that lives from step to step, in one object."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from wan.sampling.carried import Tree
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

    def state(self) -> Tree:
        """As plain data; the tensors are the run's own."""
        return {
            "latents": self.latents,
            "noise": self.noise,
            "solver": self.solver.state(),
            "delta": self.delta,
            "expert": None if self.expert is None else self.expert.value,
            "left": None if self.left is None else {name: getattr(self.left, name) for name in LeftFrames.__slots__},
        }

    @classmethod
    def restored(cls, state: Tree, solver: Solver) -> Self:
        """The state that ``state`` described, with ``solver``, a fresh one, made to go on as the old one."""
        solver.restore(state["solver"])
        return cls(
            latents=state["latents"],
            noise=state["noise"],
            solver=solver,
            delta=state["delta"],
            expert=None if state["expert"] is None else Expert(state["expert"]),
            left=None if state["left"] is None else LeftFrames(**state["left"]),
        )
