"""What a tuning run is asked for, and what it will cost."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from wan.budgets import enough
from wan.errors import InvalidInput
from wan.gpus import EFFICIENCY, GPUS
from wan.sampling.geometry import Geometry
from wan.sampling.price import DenoiserSize

BUDGETS = (0.7, 0.6, 0.5, 0.4, 0.35, 0.25)
MIN_STEPS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneOptions:
    """``clips`` to tune on, ``verify_clips`` to verify on; ``trials`` candidates for each budget at most;
    ``amplification_steps`` noise levels at which ``amplification_clips`` runs are disturbed; ``at_once`` clips in a
    forward."""

    budgets: tuple[float, ...] = BUDGETS
    clips: int = 4
    verify_clips: int = 4
    trials: int = 9
    amplification_steps: int = 4
    amplification_clips: int = 1
    at_once: int = 1


DEMO_OPTIONS = TuneOptions(
    clips=36, verify_clips=36, trials=80, amplification_steps=8, amplification_clips=6, at_once=36
)
"""For a model that is small enough not to count: more clips, more trials."""


def steps_for(budget: float, steps: int) -> int:
    """How many steps with both passes a budget pays for; ``InvalidInput`` when they are too few to make a plan of."""
    if not 0 < budget < 1:
        raise InvalidInput(f"--budgets {budget:g} must be above 0 and below 1 (1 is the plain run and needs no plan)")
    count = int(budget * steps + 1e-9)
    if count < MIN_STEPS:
        raise InvalidInput(
            f"--budgets {budget:g} of {steps} steps pays for {count}, and a plan needs at least {MIN_STEPS}; give at "
            f"least {enough(MIN_STEPS / steps)}"
        )
    return count


def measured_steps(steps: int, count: int) -> list[int]:
    """``count`` steps at which runs are disturbed, spread over those at which it can be done."""
    return sorted({round(step) for step in np.linspace(2, steps - 1, count)})


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneCost:
    """Forwards of every part; the search's are an upper bound, because trials share their beginnings."""

    steps: int
    parts: Mapping[str, int]
    flops_per_forward: float

    @property
    def forwards(self) -> int:
        return sum(self.parts.values())

    @property
    def baseline_videos(self) -> float:
        """The cost in plain videos."""
        return self.forwards / (2 * self.steps)

    def lines(self) -> list[str]:
        """For people."""
        parts = ", ".join(f"{name} {forwards:,}" for name, forwards in self.parts.items())
        flops = self.forwards * self.flops_per_forward
        hours = ", ".join(f"{gpu.seconds(flops) / 3600:.2g} on one {name}" for name, gpu in GPUS.items())
        return [
            f"this takes at most {self.forwards:,} forwards ({parts}), as many as {self.baseline_videos:.0f} plain "
            "videos",
            f"hours, computed from {self.flops_per_forward:.3g} FLOP a forward at {EFFICIENCY:.0%} of the data sheets' "
            f"bfloat16 speed: {hours}",
        ]


def tune_cost(options: TuneOptions, *, steps: int, geometry: Geometry, size: DenoiserSize) -> TuneCost:
    """What a tuning run costs, before it begins."""
    counts = [steps_for(budget, steps) for budget in options.budgets]
    # the rest of the run from every measured step, twice, with both branches
    disturbed = sum(4 * (steps - step) for step in measured_steps(steps, options.amplification_steps))
    return TuneCost(
        steps=steps,
        parts={
            "recording": 2 * steps * options.clips,
            "amplification": disturbed * options.amplification_clips,
            "search": sum(2 * count * options.clips * options.trials for count in counts),
            "verification": 2 * (steps + sum(counts)) * options.verify_clips,
        },
        flops_per_forward=size.forward_flops(geometry.tokens(geometry.latent_frames)),
    )
