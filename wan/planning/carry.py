"""From a stored plan to the plan of a run: what is carried over to other settings, and the sentences that say so."""

from collections.abc import Iterator
from itertools import pairwise

from wan.commands import command_line
from wan.errors import InvalidInput
from wan.planning.stored import Baseline, Calibration, StoredPlan
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan, Step
from wan.sampling.policies import expert_for, full_guidance, guidance_scale
from wan.sampling.schedule import FITTED
from wan.settings import SamplingSettings


def carried(stored: StoredPlan, calibration: Calibration, settings: SamplingSettings, geometry: Geometry) -> Plan:
    """The plan of a run with these settings and this shape.

    Sigmas, experts and weights stay as they are; the guidance scales and the shape are the run's. ``InvalidInput``
    where the weights would meet other experts than those that they were fitted to.
    """
    _refuse_other_experts(stored, calibration, settings)
    sigmas = [*(step.sigma for step in stored.steps), 0.0]
    steps = tuple(
        Step(
            index=index,
            sigma=sigma,
            sigma_next=sigma_next,
            timestep=step.timestep,
            expert=step.expert,
            latent_frames=geometry.latent_frames,
            guidance=full_guidance(guidance_scale(settings, step.expert)),
            update=step.update,
        )
        for index, (step, (sigma, sigma_next)) in enumerate(zip(stored.steps, pairwise(sigmas), strict=True))
    )
    return Plan(
        geometry=geometry,
        solver=FITTED,
        shift=settings.shift,
        boundary=settings.boundary,
        frame_completion=None,
        steps=steps,
        plain_steps=settings.steps,
        expectation=None if stored.expected is None else stored.expected.sentence(),
        seen=tuple(step.seen for step in stored.steps),
        notices=(*carry_notices(calibration.baseline, settings, geometry), *_unverified(stored)),
    )


def carry_notices(baseline: Baseline, settings: SamplingSettings, geometry: Geometry) -> list[str]:
    """One sentence about what differs from the calibration, if anything does."""
    changes = list(_changes(baseline, settings, geometry))
    if not changes:
        return []
    notice = (
        f"this plan was calibrated with {', '.join(old for old, _ in changes)}, and this run has "
        f"{', '.join(new for _, new in changes)}: its sigmas and weights are carried over as they are, and the "
        "expected error below is that of the calibration"
    )
    if Baseline.of(settings, geometry).guide_scale != baseline.guide_scale:
        notice += f"; of all settings guidance scales carry over worst, so calibrate for them: `{command_line('tune')}`"
    return [notice]


def _changes(baseline: Baseline, settings: SamplingSettings, geometry: Geometry) -> Iterator[tuple[str, str]]:
    here = Baseline.of(settings, geometry)
    for name, form in _FORMS.items():
        old, new = form(baseline), form(here)
        if old != new:
            yield f"{name} {old}", new


_FORMS = {
    "solver": lambda base: base.solver,
    "steps": lambda base: f"{base.steps}",
    "shift": lambda base: f"{base.shift:g}",
    "guidance scales": lambda base: f"{base.guide_scale[0]:g} and {base.guide_scale[1]:g}",
    "size": lambda base: f"{base.size[0]}*{base.size[1]}",
    "frames": lambda base: f"{base.frame_num}",
}


def _unverified(stored: StoredPlan) -> list[str]:
    if stored.expected is not None:
        return []
    return [f"the plan of budget {stored.budget:g} was not verified: its error is unknown"]


def _refuse_other_experts(stored: StoredPlan, calibration: Calibration, settings: SamplingSettings) -> None:
    for number, step in enumerate(stored.steps, start=1):
        here = expert_for(step.timestep, settings.boundary)
        if here is not step.expert:
            raise InvalidInput(
                f"the plan of budget {stored.budget:g} was calibrated for {calibration.task}, where step {number} "
                f"(sigma {step.sigma:.4f}) runs through the {step.expert.value} expert, and here through the "
                f"{here.value} one: it cannot be carried over; calibrate this checkpoint with `{command_line('tune')}`"
            )
