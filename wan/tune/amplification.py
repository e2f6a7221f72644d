"""How much an error made at a noise level grows until the end: measured by disturbing recorded runs.

The disturbance is the kind of error that a shortened plan makes: what is left of a recorded state after its projection
onto the run's noise and every ``STRIDE``-th denoised estimate before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wan.sampling.plan import Plan
from wan.tune.fitting import least_squares
from wan.tune.lockstep import ClipBatch
from wan.tune.recording import Recording

STRIDE = 3


def measured_steps(steps: int, count: int) -> list[int]:
    """``count`` steps, spread over those at which a disturbance can be made."""
    return sorted({round(step) for step in np.linspace(2, steps - 1, count)})


def forwards_needed(steps: int, measured: Sequence[int]) -> int:
    """Forwards for each clip: the rest of the run, twice, with both branches."""
    return sum(4 * (steps - step) for step in measured)


def measure(
    batch: ClipBatch, plan: Plan, recording: Recording, measured: Sequence[int], *, tick: Callable[[], object]
) -> list[float]:
    """g at every sigma of the recording: mean over clips of |final difference| / |disturbance|, between the measured
    steps by linear interpolation in the step; 1 at the end."""
    found = {len(plan.steps): 1.0}
    for step in measured:
        found[step] = _growth(batch, plan, recording, step)
        tick()
    known = sorted(found)
    steps = range(len(plan.steps) + 1)
    interpolated: list[float] = np.interp(steps, known, [found[step] for step in known]).tolist()
    return interpolated


def _growth(batch: ClipBatch, plan: Plan, recording: Recording, step: int) -> float:
    clips = len(batch.noise)
    state = recording.states[step][:clips].to(batch.noise.device)
    disturbance = _typical_error(recording, step)[:clips].to(batch.noise.device)
    rest = replace(plan, steps=tuple(replace(one, index=one.index - step) for one in plan.steps[step:]))
    undisturbed = batch.run(rest, start=state)
    disturbed = batch.run(rest, start=state + disturbance)
    ratios = _norms(disturbed - undisturbed) / _norms(disturbance)
    return float(ratios.square().mean().sqrt())


def _typical_error(recording: Recording, step: int) -> Tensor:
    before = range(0, step, STRIDE)
    features = [
        recording.states[0],
        *(recording.cond[one] for one in before),
        *(recording.uncond[one] for one in before),
    ]
    target = recording.states[step]
    weights = least_squares(features, target)
    made = torch.stack([w * feature for w, feature in zip(weights, features, strict=True)]).sum(0)
    return made - target


def _norms(latents: Tensor) -> Tensor:
    return latents.flatten(1).norm(dim=1)
