"""How many bytes a run carries from step to step, known before it: its resume file, and what a step copies of it."""

from collections.abc import Callable, Mapping
from math import prod

from wan.sampling.cache_settings import CacheSettings
from wan.sampling.plan import Plan, Step
from wan.sampling.price import DenoiserSize
from wan.sampling.schedule import FITTED

_FLOAT32 = 4


def carried_bytes(plan: Plan, size: DenoiserSize, *, dtype_bytes: int) -> int:
    """The most that any step leaves behind: latents, noise, the solver's history, D, frames that were left out, and
    what a cache keeps; networks compute in a dtype of ``dtype_bytes``."""
    return max(_after(plan, place, size, dtype_bytes, _CACHED) for place in range(len(plan.steps)))


def renewed_bytes(plan: Plan, size: DenoiserSize, *, dtype_bytes: int) -> int:
    """The most of it that one step computes anew where caches work inside of the network, and nearly so elsewhere: what
    the step waits for until it is copied."""
    return max(_after(plan, place, size, dtype_bytes, _CACHED | _RENEWED) for place in range(len(plan.steps)))


def _after(plan: Plan, place: int, size: DenoiserSize, dtype_bytes: int, caches: "_Caches") -> int:
    step, done = plan.steps[place], plan.steps[: place + 1]
    latents = _FLOAT32 * prod(plan.geometry.latent_shape(step.latent_frames))
    every_frame = _FLOAT32 * prod(plan.geometry.latent_shape())
    kept = 1 + _HISTORY[plan.solver](place + 1) + any(one.guidance.measures for one in done)
    left_out = 2 if step.latent_frames < max(one.latent_frames for one in done) else 0
    residual = plan.geometry.tokens(step.latent_frames) * size.dim * dtype_bytes
    cached = 0 if plan.cache is None else caches[plan.cache.name](plan.cache, step, latents, residual)
    return kept * latents + (1 + left_out) * every_frame + cached


def _sea(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * (((cache.order or 0) + 1) * residual + latents)


def _mag(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * residual


def _first_block(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * 2 * residual


def _taylor(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * ((cache.order or 0) + 1) * latents


def _sea_renewed(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    """The older residuals of a forecast are those that the last step had."""
    return len(step.branches) * (residual + latents)


_Caches = dict[str, Callable[[CacheSettings, Step, int, int], int]]
_CACHED: _Caches = {"sea": _sea, "mag": _mag, "first_block": _first_block, "taylor": _taylor}
_RENEWED: _Caches = {"sea": _sea_renewed}

# tensors of the latents' shape that a solver remembers after so many steps
_HISTORY: Mapping[str, Callable[[int], int]] = {
    "unipc": lambda steps: min(steps, 2) + 1,
    "dpm++": lambda steps: min(steps, 2),
    "euler": lambda steps: 1,
    FITTED: lambda steps: 1 + 2 * steps,
}
