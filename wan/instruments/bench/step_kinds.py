"""Kinds of steps that cost the same: a few of each are timed, and a plan's time is what they add up to."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from wan.sampling.guidance import Guidance, SingleBranch
from wan.sampling.plan import Expert, Plan, Step, excerpt


@dataclass(frozen=True, slots=True)
class StepKind:
    """What decides the cost of a step."""

    expert: Expert
    latent_frames: int
    branches: int

    @property
    def label(self) -> str:
        return f"{self.expert.value}, {self.latent_frames} latent frames, {self.branches} forward(s)"


def kinds_of(plans: Iterable[Plan]) -> dict[StepKind, Plan]:
    """Every kind in the plans, with the first plan that has it."""
    found: dict[StepKind, Plan] = {}
    for plan in plans:
        for step in plan.steps:
            found.setdefault(_kind(step), plan)
    return found


def plan_of_kind(plan: Plan, kind: StepKind, *, count: int) -> Plan:
    """The first ``count`` steps of one kind, or all when the plan has fewer."""
    steps = [replace(step, guidance=_by_itself(step)) for step in plan.steps if _kind(step) == kind]
    return excerpt(plan, steps[:count])


def extrapolated_seconds(plan: Plan, seconds: Mapping[StepKind, float]) -> float:
    """Seconds of a whole plan from the seconds of one step of each kind."""
    return sum(count * seconds[kind] for kind, count in Counter(map(_kind, plan.steps)).items())


def _kind(step: Step) -> StepKind:
    return StepKind(step.expert, step.latent_frames, len(step.branches))


def _by_itself(step: Step) -> Guidance:
    # without the steps before it there is no difference to reuse; the forward is the same
    return SingleBranch(step.branches[0]) if step.guidance.reuses else step.guidance
