"""Caches of velocities: a wrapper of a stage's denoiser that answers some of the planned branches from what it kept.

What a cache saves is decided in the plan: ``Step.cached`` names the branches that are not evaluated, so that a plan's
price and its forwards are true before the run. A wrapper is made anew on entering a stage, which empties it, and it
knows step, stage and branch: it is handed the step, and lives as long as its stage. An instrument's own questions
(``predict_beside``) go past it, so that a debug run changes no number.
"""

from collections.abc import Callable

from torch import Tensor

from wan.sampling.carried import Carries, Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Step
from wan.sampling.protocols import Contexts, Denoiser, Velocities

WrapDenoiser = Callable[[Denoiser], Denoiser]
"""Called with a stage's denoiser when the stage begins; what it returns is used for that stage alone."""


def as_it_is(denoiser: Denoiser) -> Denoiser:
    """No cache."""
    return denoiser


class CachedDenoiser(Carries):
    """Base of a cache: evaluates what the plan evaluates, and asks ``recall`` for the rest.

    The base class itself holds the last computed velocity of a branch (a forecast of order 0). A subclass overrides
    ``keep`` and ``recall``, and names in ``carries`` the attributes that remember, so that a run can be resumed; a
    branch that was never computed in the stage cannot be recalled.
    """

    carries = ("_kept",)

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self._kept: Velocities = {}

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Velocities of all branches in ``contexts``: computed, or recalled where ``step.cached`` names them."""
        asked = {branch: context for branch, context in contexts.items() if branch not in step.cached}
        computed = self._denoiser.predict(step, hidden_states, timestep, asked) if asked else {}
        for branch, velocity in computed.items():
            self.keep(step, branch, velocity)
        return {branch: computed[branch] if branch in asked else self.recall(step, branch) for branch in contexts}

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Past the cache."""
        return self._denoiser.predict_beside(hidden_states, timestep, contexts)

    def state(self) -> Tree:
        """What this cache remembers, and what the denoiser behind it does."""
        return {"own": Carries.state(self), "behind": self._denoiser.state()}

    def restore(self, state: Tree) -> None:
        """Both."""
        Carries.restore(self, state["own"])
        self._denoiser.restore(state["behind"])

    def keep(self, step: Step, branch: Branch, velocity: Tensor) -> None:
        """Remember a computed velocity (B, C, F, h, w)."""
        self._kept[branch] = velocity

    def recall(self, step: Step, branch: Branch) -> Tensor:
        """The velocity (B, C, F, h, w) that stands in for one that is not computed."""
        assert branch in self._kept, f"step {step.index + 1} caches {branch.value}, which its stage never computed"
        return self._kept[branch]
