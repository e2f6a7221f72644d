"""A run between two steps: everything that the next step needs, and how a plan is taken up again from there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from torch import Tensor

from wan.sampling.carried import Carries, Tree
from wan.sampling.observers import StepEvent
from wan.sampling.plan import Plan, Stage
from wan.sampling.protocols import Denoiser, Experts
from wan.sampling.solvers import Solver
from wan.sampling.state import SamplerState


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """After ``steps_done`` steps of a plan: the sampler's state, the stage's caches, and what was counted and watched
    until then, by name.

    ``denoised`` (B, C, F, h, w) is the estimate x0 of the last step: what there is to look at.
    """

    steps_done: int
    denoised: Tensor
    sampler: Tree
    denoiser: Tree
    watched: Mapping[str, Tree] = field(default_factory=dict)

    def remaining(self, plan: Plan) -> Plan:
        """The plan without the steps that are done; none may be left."""
        return replace(plan, steps=plan.steps[self.steps_done :])

    def sampler_state(self, solver: Solver) -> SamplerState:
        """The state in which the sampling goes on; ``solver`` is a fresh one of the whole plan."""
        return SamplerState.restored(self.sampler, solver)

    def experts(self, experts: Experts, plan: Plan) -> Experts:
        """The experts, the first of which begins with the caches that it had, unless its stage begins anew."""
        begins_anew = {stage.steps[0].index for stage in plan.stages} | {len(plan.steps)}
        return experts if self.steps_done in begins_anew else _Continued(experts, self.denoiser)

    def restore_watched(self, watched: Mapping[str, Carries]) -> None:
        """Counters, clocks and instruments go on from where they were."""
        for name, one in watched.items():
            one.restore(self.watched[name])


def take(event: StepEvent, watched: Mapping[str, Carries]) -> Snapshot:
    """The run after a step."""
    return Snapshot(
        steps_done=event.step.index + 1,
        denoised=event.state.solver.denoised(),
        sampler=event.state.state(),
        denoiser=event.denoiser.state(),
        watched={name: one.state() for name, one in watched.items()},
    )


class _Continued:
    """Hands out the first denoiser with the caches of the run that was interrupted."""

    def __init__(self, experts: Experts, caches: Tree) -> None:
        self._experts = experts
        self._caches = [caches]

    @contextmanager
    def resident(self, stage: Stage) -> Iterator[Denoiser]:
        with self._experts.resident(stage) as denoiser:
            for caches in self._caches:
                denoiser.restore(caches)
            self._caches.clear()
            yield denoiser
