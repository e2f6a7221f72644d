"""Guidance: which branches a step evaluates and how their velocities become one (pure arithmetic on arrays).

Notation: v_c and v_u are the conditional and the unconditional velocity, s the guidance scale, D = v_c - v_u the
difference that the last fully guided step of the same stage measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

Array = Any  # a torch tensor or a numpy array: the arithmetic is the same, and planning imports neither


class Branch(StrEnum):
    """One of the two evaluations of classifier-free guidance."""

    COND = "cond"
    UNCOND = "uncond"


class Guidance(Protocol):
    """How one step is guided."""

    @property
    def branches(self) -> tuple[Branch, ...]:
        """What must be evaluated."""

    @property
    def label(self) -> str:
        """What the printed plan shows."""

    @property
    def measures(self) -> bool:
        """Whether it measures D, which later steps may reuse."""

    @property
    def reuses(self) -> bool:
        """Whether it needs a D that an earlier step of its stage measured."""

    def missed(self, scale: float) -> tuple[float, float]:
        """(a, b): full CFG at ``scale`` minus this guidance is a D - b times the carried D."""

    def combine(self, velocities: Mapping[Branch, Array], delta: Array | None) -> tuple[Array, Array | None]:
        """(guided velocity, difference D to carry to the next step) from the evaluated branches and the carried D."""


@dataclass(frozen=True, slots=True)
class ClassifierFree:
    """CFG (Ho & Salimans 2022, eq. 6, with s = 1 + w): v_u + s (v_c - v_u)."""

    scale: float
    measures: ClassVar[bool] = True
    reuses: ClassVar[bool] = False

    @property
    def branches(self) -> tuple[Branch, ...]:
        return Branch.COND, Branch.UNCOND

    @property
    def label(self) -> str:
        return f"cfg {self.scale:g}"

    def missed(self, scale: float) -> tuple[float, float]:
        return scale - self.scale, 0.0

    def combine(self, velocities: Mapping[Branch, Array], delta: Array | None) -> tuple[Array, Array | None]:
        measured = velocities[Branch.COND] - velocities[Branch.UNCOND]
        return velocities[Branch.UNCOND] + self.scale * measured, measured


@dataclass(frozen=True, slots=True)
class SingleBranch:
    """One branch alone, unguided; ``COND`` equals CFG at scale 1."""

    branch: Branch
    measures: ClassVar[bool] = False
    reuses: ClassVar[bool] = False

    @property
    def branches(self) -> tuple[Branch, ...]:
        return (self.branch,)

    @property
    def label(self) -> str:
        return f"{self.branch.value} only"

    def missed(self, scale: float) -> tuple[float, float]:
        return _share_of_difference(self.branch, scale), 0.0

    def combine(self, velocities: Mapping[Branch, Array], delta: Array | None) -> tuple[Array, Array | None]:
        return velocities[self.branch], delta


@dataclass(frozen=True, slots=True)
class ReusedDelta:
    """One branch plus ``weight`` times the carried difference D.

    With the exact D, v_c + (s - 1) D and v_u + s D both equal CFG at scale s, so a weight of s - 1 (conditional
    branch) or s (unconditional branch) reuses D fully; a smaller weight lets an ageing D fade towards the branch.
    """

    branch: Branch
    weight: float
    measures: ClassVar[bool] = False
    reuses: ClassVar[bool] = True

    @property
    def branches(self) -> tuple[Branch, ...]:
        return (self.branch,)

    @property
    def label(self) -> str:
        return f"{self.branch.value} + {self.weight:.3g} D"

    def missed(self, scale: float) -> tuple[float, float]:
        return _share_of_difference(self.branch, scale), self.weight

    def combine(self, velocities: Mapping[Branch, Array], delta: Array | None) -> tuple[Array, Array | None]:
        assert delta is not None, "the plan reuses a difference that no earlier step of this stage measured"
        return velocities[self.branch] + self.weight * delta, delta


def _share_of_difference(branch: Branch, scale: float) -> float:
    """CFG is v_c + (s - 1) D = v_u + s D: how much D it adds to a branch."""
    return scale - 1.0 if branch is Branch.COND else scale


TruncatedGuidance = Callable[[float, float], Guidance]
"""(guidance scale, sigma of the step / sigma at which D was measured: below 1) to the guidance of a truncated step."""


def _uncond(scale: float, sigma_ratio: float) -> Guidance:
    return SingleBranch(Branch.UNCOND)


def _cond(scale: float, sigma_ratio: float) -> Guidance:
    return SingleBranch(Branch.COND)


def _reuse(scale: float, sigma_ratio: float) -> Guidance:
    return ReusedDelta(Branch.COND, scale - 1.0)


def _reuse_uncond(scale: float, sigma_ratio: float) -> Guidance:
    return ReusedDelta(Branch.UNCOND, scale)


def _decay(scale: float, sigma_ratio: float) -> Guidance:
    """D ages with the noise level, not with the step count: between ``reuse`` (power 0) and ``cond`` (infinity)."""
    return ReusedDelta(Branch.COND, (scale - 1.0) * sigma_ratio**DECAY_POWER)


DECAY_POWER = 2.0  # chosen by measurement, over 0 to 4

TRUNCATION_MODES: Mapping[str, TruncatedGuidance] = {
    "uncond": _uncond,
    "cond": _cond,
    "reuse": _reuse,
    "reuse_uncond": _reuse_uncond,
    "decay": _decay,
}
