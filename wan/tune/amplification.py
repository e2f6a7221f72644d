"""How much an error made at a noise level grows until the end: measured by disturbing recorded runs.

The disturbance is the kind of error that a shortened plan makes: what is left of a recorded state after its projection
onto the run's noise and every ``STRIDE``-th denoised estimate before it.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wan.sampling.plan import Plan
from wan.tune.fitting import least_squares
from wan.tune.lockstep import ClipBatch
from wan.tune.recording import Recording

STRIDE = 3


def interpolated(found: Mapping[int, float], steps: int) -> list[float]:
    """g at every sigma of a run of ``steps`` steps, from g at some of them: linear in the step, 1 at the end."""
    known = sorted(found)
    values: list[float] = np.interp(range(steps + 1), [*known, steps], [*(found[step] for step in known), 1.0]).tolist()
    return values


def growth(batch: ClipBatch, plan: Plan, recording: Recording, step: int) -> float:
    """g at the sigma of a step: |final difference| / |disturbance|, root mean square over the batch's clips, which are
    the first of the recording."""
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
