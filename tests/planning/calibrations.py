"""Calibrations made by hand: first-order steps on a part of the demo model's plain grid, no search, no model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wan.job import prepare
from wan.planning.stored import Baseline, Calibration, Expected, StoredPlan, StoredStep, write_calibration
from wan.request import Request
from wan.sampling.plan import Seen
from wan.sampling.update import LinearUpdate

EXPECTED = Expected(clips=36, psnr=39.54, psnr_worst=28.31, motion=0.987)
WIDE = Seen(norm=(0.0, 1e6), motion=(0.0, 1e6))


def first_order(sigmas: Sequence[float], index: int) -> LinearUpdate:
    """x(s') = s'/s_0 e + ... as Euler steps do it: x0 weighted by what is left."""
    ends = [*sigmas, 0.0]
    ratios = [ends[j + 1] / ends[j] for j in range(index + 1)]
    weights = [1 - ratio for ratio in ratios]
    for j in range(index + 1):
        for later in ratios[j + 1 :]:
            weights[j] *= later
    noise = 1.0
    for ratio in ratios:
        noise *= ratio
    return LinearUpdate(noise=noise, denoised=tuple(weights), differences=(0.0,) * (index + 1))


def make_calibration(
    *budgets: float, task: str = "t2v-demo", checkpoint: str = "0" * 64, expected: Expected | None = EXPECTED
) -> Calibration:
    """Plans that keep about every 1/budget-th step of the task's plain run."""
    job = prepare(Request(task=task, prompt="x", ckpt_dir=None))
    steps = job.plan.steps
    plans = []
    for budget in budgets:
        count = round(budget * len(steps))
        kept = [steps[round(place * (len(steps) - 1) / (count - 1))] for place in range(count)]
        sigmas = [step.sigma for step in kept]
        stored = tuple(
            StoredStep(
                sigma=step.sigma,
                timestep=step.timestep,
                expert=step.expert,
                update=first_order(sigmas, index),
                seen=WIDE,
            )
            for index, step in enumerate(kept)
        )
        plans.append(StoredPlan(budget=budget, steps=stored, expected=expected, tuning={"clips": 24}))
    return Calibration(
        task=task,
        checkpoint=checkpoint,
        command="wan tune",
        baseline=Baseline.of(job.settings, job.geometry),
        plans=tuple(plans),
    )


def write(path: Path, *budgets: float, seen: Seen | None = WIDE, **about: object) -> Path:
    """A calibration in a file."""
    made = make_calibration(*budgets, **about)  # type: ignore[arg-type]
    plans = tuple(replace(plan, steps=tuple(replace(step, seen=seen) for step in plan.steps)) for plan in made.plans)
    write_calibration(path, replace(made, plans=plans))
    return path
