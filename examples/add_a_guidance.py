"""Extending: a new kind of guidance, which a plan carries and the sampling loop executes like every other.

    python examples/add_a_guidance.py

Rescaled guidance (Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", section 3.4):
classifier-free guidance raises the contrast of the prediction, so the guided velocity is brought part of the way back
to the standard deviation of the conditional one.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan.job import prepare
from wan.request import Request
from wan.sampling.guidance import Array, Branch, ClassifierFree
from wan.sampling.plan import Plan
from wan.session import Session


@dataclass(frozen=True, slots=True)
class RescaledGuidance:
    """CFG at ``scale``, its standard deviation brought towards the conditional branch's by the share ``phi``."""

    scale: float
    phi: float
    measures: ClassVar[bool] = True
    reuses: ClassVar[bool] = False

    @property
    def branches(self) -> tuple[Branch, ...]:
        return Branch.COND, Branch.UNCOND

    @property
    def label(self) -> str:
        return f"cfg {self.scale:g}, rescaled {self.phi:g}"

    def missed(self, scale: float) -> tuple[float, float]:
        # the rescaling is left out of the first-order estimate
        return scale - self.scale, 0.0

    def combine(self, velocities: Mapping[Branch, Array], delta: Array | None) -> tuple[Array, Array | None]:
        guided, measured = ClassifierFree(self.scale).combine(velocities, delta)
        factor = velocities[Branch.COND].std() / guided.std()
        return guided * (self.phi * factor + 1.0 - self.phi), measured


def rescaled(plan: Plan, phi: float) -> Plan:
    """The plan with every full CFG step rescaled; all else stays as it was planned."""
    steps = tuple(
        replace(step, guidance=RescaledGuidance(step.guidance.scale, phi))
        if isinstance(step.guidance, ClassifierFree)
        else step
        for step in plan.steps
    )
    return replace(plan, steps=steps)


def main() -> None:
    job = prepare(Request(task="t2v-demo", prompt="a red circle moving right on a blue background", sample_steps=8))
    session = Session(job, show_progress=False)
    for name, plan in {"cfg": job.plan, "rescaled": rescaled(job.plan, 0.7)}.items():
        latents = session.sample(plan, prompt=job.prompt, seed=0).latents
        print(f"{name}: {plan.steps[0].guidance.label}, standard deviation of the latents {latents.std():.4f}")


if __name__ == "__main__":
    main()
