"""What guidance does at every step, and what skipping one of its passes would cost: arithmetic on inner products.

D_t = v_c - v_u is the difference of conditional and unconditional velocity at step t. All measures follow from the mean
products <D_t, D_t-k>, so that a run keeps numbers and not its differences.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wan.sampling.guidance import TRUNCATION_MODES, Guidance

MAX_AGE = 8
# A truncation is recommended while its first-order effect on the final latent stays below this share of its size.
TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class StepGuidance:
    """One step; every mean is over all values of the latent.

    ``mse``: <D_t, D_t>. ``products``: <D_t, D_t-k> for k = 1, 2, ... within the stage. ``change_mse`` and ``cosine``
    compare D_t with the step before, also across the expert switch (on the frames that both have); None at the first
    step. ``velocity_ms``, ``x0_ms``: mean squares of the fully guided velocity and of its x0. ``used_error``: mean
    squared difference of the velocity that the run used from the fully guided one.
    """

    index: int
    sigma: float
    sigma_next: float
    timestep: int
    expert: str
    latent_frames: int
    guidance: str
    scale: float
    truncated: bool
    mse: float
    products: tuple[float, ...]
    change_mse: float | None
    cosine: float | None
    velocity_ms: float
    x0_ms: float
    used_error: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """The largest truncation of one expert whose estimated effect stays below ``TOLERANCE``.

    ``errors``: estimated relative error of the final latent for 1, 2, ... truncated steps.
    """

    expert: str
    mode: str
    steps: int
    errors: tuple[float, ...]


def reuse_error(steps: Sequence[StepGuidance], position: int, age: int) -> float:
    """mean (D_t - D_t-k)^2 / mean D_t^2: what an ``age`` steps old difference misses; ``age`` within the stage."""
    return _mean_square(steps, position, age, new_weight=1.0, old_weight=1.0) / _positive(steps[position].mse)


def best_weight(steps: Sequence[StepGuidance], position: int, age: int) -> float:
    """<D_t, D_t-k> / <D_t-k, D_t-k>: the factor with which the old difference fits the new one best."""
    return steps[position].products[age - 1] / _positive(steps[position - age].mse)


def truncation_error(steps: Sequence[StepGuidance], position: int, age: int, guidance: Guidance) -> float:
    """Mean squared velocity error of ``guidance`` against CFG when D was last measured ``age`` steps before.

    CFG is v_c + (s - 1) D = v_u + s D. A guidance that adds w D_t-k to one branch errs by c D_t - w D_t-k
    (``Guidance.missed``).
    """
    new_weight, old_weight = guidance.missed(steps[position].scale)
    if not old_weight:
        return new_weight**2 * steps[position].mse  # nothing is reused: there need not be an earlier step
    return _mean_square(steps, position, age, new_weight=new_weight, old_weight=old_weight)


def final_error(steps: Sequence[StepGuidance], expert: str, count: int, mode: str) -> float:
    """Estimated relative RMS error of the final latent when the last ``count`` steps of ``expert`` are truncated.

    First order: dx/dsigma = v, so a velocity error e shifts the result by (sigma_t - sigma_t+1) e; the shifts are added
    without cancelling, and what later steps make of them is left out. Relative to the RMS of the last step's x0.
    """
    positions = [position for position, step in enumerate(steps) if step.expert == expert][-count:]
    shift = 0.0
    for age, position in enumerate(positions, start=1):
        step, measured = steps[position], steps[position - age]
        guidance = TRUNCATION_MODES[mode](step.scale, step.sigma / measured.sigma)
        error = truncation_error(steps, position, age, guidance)
        shift += (step.sigma - step.sigma_next) * math.sqrt(error)
    return shift / _positive(math.sqrt(steps[-1].x0_ms))


def recommend(steps: Sequence[StepGuidance], expert: str, mode: str, *, tolerance: float = TOLERANCE) -> Recommendation:
    """How many last steps of ``expert`` can be truncated; at most ``MAX_AGE``, and one step must measure D before."""
    own = sum(step.expert == expert for step in steps)
    errors = tuple(final_error(steps, expert, count, mode) for count in range(1, min(MAX_AGE, own - 1) + 1))
    allowed = next((count for count, error in enumerate(errors) if error > tolerance), len(errors))
    return Recommendation(expert=expert, mode=mode, steps=allowed, errors=errors)


def ages_at(steps: Sequence[StepGuidance], position: int) -> range:
    """The ages 1, 2, ... of differences that can be compared at a step: those of its own stage, at most 8."""
    return range(1, len(steps[position].products) + 1)


def reuse_errors_by_age(steps: Sequence[StepGuidance], expert: str) -> dict[int, list[float]]:
    """For every age the relative reuse errors of all steps of ``expert`` that have a difference that old."""
    errors: dict[int, list[float]] = {}
    for position, step in enumerate(steps):
        if step.expert == expert:
            for age in ages_at(steps, position):
                errors.setdefault(age, []).append(reuse_error(steps, position, age))
    return errors


def experts_of(steps: Sequence[StepGuidance]) -> list[str]:
    """The experts in order of appearance."""
    return list(dict.fromkeys(step.expert for step in steps))


def _mean_square(
    steps: Sequence[StepGuidance], position: int, age: int, *, new_weight: float, old_weight: float
) -> float:
    """mean (new_weight D_t - old_weight D_t-age)^2 from the products."""
    new, old, product = steps[position].mse, steps[position - age].mse, steps[position].products[age - 1]
    # rounding can bring the square of (nearly) nothing below zero
    return max(0.0, new_weight**2 * new - 2 * new_weight * old_weight * product + old_weight**2 * old)


def _positive(value: float) -> float:
    # a model that ignores its text has D = 0: nothing to divide by, and nothing lost either
    return value if value > 0.0 else 1.0
