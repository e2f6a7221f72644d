"""Extending: an observer, which sees every stage and every step of a run and changes no number of it.

python examples/add_an_observer.py
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan.job import prepare
from wan.request import Request
from wan.sampling.observers import Observer, StepEvent
from wan.session import Session


@dataclass(slots=True)
class EstimateDrift(Observer):
    """Standard deviation of the x0 estimate, x - sigma v, after every step."""

    values: list[float] = field(default_factory=list)

    def on_step_end(self, event: StepEvent) -> None:
        estimate = event.latents_in - event.step.sigma * event.velocity
        self.values.append(float(estimate.std()))


def main() -> None:
    job = prepare(Request(task="t2v-demo", prompt="a red circle moving right on a blue background", sample_steps=8))
    drift = EstimateDrift()
    Session(job, show_progress=False).sample(job.plan, prompt=job.prompt, seed=0, observers=[drift])
    for step, value in zip(job.plan.steps, drift.values, strict=True):
        print(f"step {step.index + 1}, sigma {step.sigma:.3f}: {value:.4f}")


if __name__ == "__main__":
    main()
