"""TaylorSeer on velocities: a skipped step is forecast from the last computed ones (arXiv 2503.06923).

diffusers' lite mode forecasts the output of the last layer, which is the velocity with its pixels in another order: the
forecast is the same. Here the plan knows which steps are skipped, and they cost no forward at all.
"""

from math import factorial

from torch import Tensor

from wan.models.cache import CachedDenoiser
from wan.sampling.guidance import Branch
from wan.sampling.plan import Step
from wan.sampling.protocols import Denoiser


class TaylorForecast(CachedDenoiser):
    """F(t + x) = sum over i up to ``order`` of x^i / i! times the i-th derivative, which repeated differences of the
    last computed velocities estimate; x counts steps. Fewer terms where less was computed in the stage."""

    carries = ("_terms",)

    def __init__(self, denoiser: Denoiser, *, order: int) -> None:
        super().__init__(denoiser)
        self._order = order
        self._terms: dict[Branch, tuple[int, list[Tensor]]] = {}

    def keep(self, step: Step, branch: Branch, velocity: Tensor) -> None:
        """Update the derivatives of a branch from its velocity (B, C, F, h, w)."""
        terms = [velocity]
        if branch in self._terms:
            index, before = self._terms[branch]
            for older in before[: self._order]:
                terms.append((terms[-1] - older) / (step.index - index))
        self._terms[branch] = step.index, terms

    def recall(self, step: Step, branch: Branch) -> Tensor:
        """The forecast velocity (B, C, F, h, w)."""
        assert branch in self._terms, f"step {step.index + 1} caches {branch.value}, which its stage never computed"
        index, terms = self._terms[branch]
        forecast = terms[0]
        for power, term in enumerate(terms[1:], start=1):
            forecast = forecast + term * ((step.index - index) ** power / factorial(power))
        return forecast
