"""The closed-loop search: moves the sigmas of a plan one at a time, and fits and runs every candidate on all clips."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from wan.sampling.guard import SeenRecorder
from wan.sampling.plan import Expert, Plan, Step
from wan.sampling.policies import expert_for
from wan.sampling.schedule import FITTED, NUM_TRAIN_TIMESTEPS
from wan.sampling.update import LinearUpdate
from wan.tune.fitting import FittingSolver, Kept, SharedPrefixes
from wan.tune.lockstep import ClipBatch
from wan.tune.recording import Recording
from wan.tune.surrogate import decibels
from wan.tune.trials import Trial

FIRST_MOVE, LAST_MOVE = 0.3, 0.07
"""Moves in logit(sigma): about one recorded step at first, halved where neither direction helps."""
MIN_SIGMA = 0.05
MIN_GAIN = 0.02
"""Decibels that a move must gain to be taken: less is the noise of the sample."""


def candidate(plain: Plan, sigmas: Sequence[float], updates: Sequence[LinearUpdate] | None = None) -> Plan:
    """A plan on the given sigmas, with the guidance that the plain plan has for each expert."""
    guidances = {step.expert: step.guidance for step in plain.steps}
    steps = []
    for index, sigma in enumerate(sigmas):
        timestep = _timestep(plain, sigma)
        expert: Expert = expert_for(timestep, plain.boundary)
        steps.append(
            Step(
                index=index,
                sigma=sigma,
                sigma_next=sigmas[index + 1] if index + 1 < len(sigmas) else 0.0,
                timestep=timestep,
                expert=expert,
                latent_frames=plain.geometry.latent_frames,
                guidance=guidances[expert],
                update=None if updates is None else updates[index],
            )
        )
    return replace(plain, solver=FITTED, steps=tuple(steps), plain_steps=len(plain.steps), notices=())


def _timestep(plain: Plan, sigma: float) -> int:
    """The plain plan's own timestep where it has this sigma (it is truncated before the sigma is rounded)."""
    own = {step.sigma: step.timestep for step in plain.steps}
    return own.get(sigma, int(NUM_TRAIN_TIMESTEPS * sigma))


class Workshop:
    """Makes trials: the clips, their recording, and what earlier trials computed."""

    def __init__(self, batch: ClipBatch, plain: Plan, recording: Recording, *, kept: Kept) -> None:
        self._batch = batch
        self._plain = plain
        self._recording = recording
        self._kept = kept

    def make(self, sigmas: tuple[float, ...]) -> Trial:
        """Fit and run one candidate on all clips."""
        solver = FittingSolver(self._recording)
        prefixes, recorder = SharedPrefixes(sigmas, self._kept), SeenRecorder()
        plan = candidate(self._plain, sigmas)
        final = self._batch.run(plan, solver=solver, wrap=prefixes.wrap, observers=[recorder])
        quality = latent_quality(final.cpu(), self._recording.final)
        return Trial(sigmas=sigmas, updates=tuple(solver.updates), seen=tuple(recorder.seen), quality=quality)


def latent_quality(latents: Tensor, reference: Tensor) -> tuple[float, ...]:
    """Each clip's |reference|^2 / |difference|^2 in dB; both (B, C, L, h, w)."""
    error = (latents - reference).flatten(1).square().sum(1) / reference.flatten(1).square().sum(1)
    return tuple(decibels(error.double().numpy()).tolist())


def coordinate_search(
    start: Trial, make: Callable[[tuple[float, ...]], Trial | None], *, accept: Callable[[Trial], None]
) -> Trial:
    """Move one sigma at a time, the last one first (its trials are the cheapest), until no move of ``LAST_MOVE`` helps.

    ``make`` returns None when the trials are used up; ``accept`` hears of every better plan. The first sigma is the
    noise's own and stays.
    """
    best = start
    moves = dict.fromkeys(range(1, len(start.sigmas)), FIRST_MOVE)
    direction = dict.fromkeys(moves, 1.0)
    while any(move >= LAST_MOVE for move in moves.values()):
        for place in sorted(moves, reverse=True):
            if moves[place] < LAST_MOVE:
                continue
            for sign in (direction[place], -direction[place]):
                sigmas = moved(best.sigmas, place, sign * moves[place])
                if sigmas is None:
                    continue
                trial = make(sigmas)
                if trial is None:
                    return best
                if trial.objective > best.objective + MIN_GAIN:
                    best, direction[place] = trial, sign
                    accept(best)
                    break
            else:
                moves[place] /= 2
    return best


def thinned(sigmas: tuple[float, ...], count: int, make: Callable[[tuple[float, ...]], Trial | None]) -> Trial | None:
    """A plan of more steps brought to ``count``: of all that lack one step the best is made shorter again.

    The first sigma is the noise's own and stays. None when the trials are used up before.
    """
    best = None
    while len(sigmas) > count:
        shorter = [make((*sigmas[:place], *sigmas[place + 1 :])) for place in range(1, len(sigmas))]
        whole = [trial for trial in shorter if trial is not None]
        if len(whole) < len(shorter):
            return None
        best = max(whole, key=lambda trial: trial.objective)
        sigmas = best.sigmas
    return best


def thinning_trials(steps: int, count: int) -> int:
    """How many trials ``thinned`` makes."""
    return sum(length - 1 for length in range(count + 1, steps + 1))


def moved(sigmas: tuple[float, ...], place: int, move: float) -> tuple[float, ...] | None:
    """The sigmas with one moved in logit(sigma); None where it would pass a neighbour or come too near to 0."""
    logit = math.log(sigmas[place] / (1 - sigmas[place])) + move
    sigma = 1 / (1 + math.exp(-logit))
    below = sigmas[place + 1] if place + 1 < len(sigmas) else MIN_SIGMA
    if not sigmas[place - 1] > sigma > below:
        return None
    return (*sigmas[:place], sigma, *sigmas[place + 1 :])
