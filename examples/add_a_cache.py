"""Extending: a cache of velocities, whose skipped forwards are planned before the run and priced with it.

    python examples/add_a_cache.py

Every second step of the low-noise expert is not computed: its velocities are forecast from the two computed before it,
along a straight line in sigma (a forecast of order 1).
"""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from torch import Tensor

from wan.job import prepare
from wan.models.cache import CachedDenoiser
from wan.request import Request
from wan.sampling.guidance import Branch
from wan.sampling.plan import Expert, Plan, Step
from wan.sampling.price import price
from wan.sampling.protocols import Denoiser
from wan.session import Session


class LinearForecast(CachedDenoiser):
    """Extends the last two computed velocities of a branch; a new object serves every stage, so it starts empty."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__(denoiser)
        self._history: dict[Branch, list[tuple[float, Tensor]]] = {}

    def keep(self, step: Step, branch: Branch, velocity: Tensor) -> None:
        super().keep(step, branch, velocity)
        self._history[branch] = [*self._history.get(branch, [])[-1:], (step.sigma, velocity)]

    def recall(self, step: Step, branch: Branch) -> Tensor:
        if len(self._history[branch]) < 2:
            return super().recall(step, branch)
        (sigma_before, before), (sigma_last, last) = self._history[branch]
        return last + (last - before) * ((step.sigma - sigma_last) / (sigma_last - sigma_before))


def every_second_low_noise_step(plan: Plan) -> Plan:
    """The policy: the third, fifth, ... step of the low-noise expert is left to the cache."""
    low = [step.index for step in plan.steps if step.expert is Expert.LOW_NOISE]
    skipped = set(low[2::2])
    return replace(
        plan,
        steps=tuple(replace(s, cached=frozenset(s.branches)) if s.index in skipped else s for s in plan.steps),
    )


def main() -> None:
    job = prepare(Request(task="t2v-demo", prompt="a green triangle growing on a white background"))
    session = Session(job, show_progress=False)
    plain = session.sample(job.plan, prompt=job.prompt, seed=0)
    plan = every_second_low_noise_step(job.plan)
    made = session.sample(plan, prompt=job.prompt, seed=0, wrap=LinearForecast)
    fraction = price(plan, session.checkpoint.denoiser_size).fractions()["flops"]
    error = float((made.latents - plain.latents).square().mean().sqrt() / plain.latents.square().mean().sqrt())
    print(f"planned {plan.forwards} forwards, executed {made.forwards}; {fraction:.3f} of the plain plan's FLOPs")
    print(f"relative RMS difference of the latents from the plain plan's: {error:.4f}")


if __name__ == "__main__":
    main()
