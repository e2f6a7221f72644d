"""How many bytes a run carries from step to step: the size of its resume file, before the run."""

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
    return max(_after(plan, place, size, dtype_bytes) for place in range(len(plan.steps)))


def _after(plan: Plan, place: int, size: DenoiserSize, dtype_bytes: int) -> int:
    step, done = plan.steps[place], plan.steps[: place + 1]
    latents = _FLOAT32 * prod(plan.geometry.latent_shape(step.latent_frames))
    every_frame = _FLOAT32 * prod(plan.geometry.latent_shape())
    kept = 1 + _HISTORY[plan.solver](place + 1) + any(one.guidance.measures for one in done)
    left_out = 2 if step.latent_frames < max(one.latent_frames for one in done) else 0
    residual = plan.geometry.tokens(step.latent_frames) * size.dim * dtype_bytes
    cached = 0 if plan.cache is None else _CACHED[plan.cache.name](plan.cache, step, latents, residual)
    return kept * latents + (1 + left_out) * every_frame + cached


def _sea(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * (((cache.order or 0) + 1) * residual + latents)


def _mag(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * residual


def _first_block(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * 2 * residual


def _taylor(cache: CacheSettings, step: Step, latents: int, residual: int) -> int:
    return len(step.branches) * ((cache.order or 0) + 1) * latents


_CACHED: Mapping[str, Callable[[CacheSettings, Step, int, int], int]] = {
    "sea": _sea,
    "mag": _mag,
    "first_block": _first_block,
    "taylor": _taylor,
}

# tensors of the latents' shape that a solver remembers after so many steps
_HISTORY: Mapping[str, Callable[[int], int]] = {
    "unipc": lambda steps: min(steps, 2) + 1,
    "dpm++": lambda steps: min(steps, 2),
    FITTED: lambda steps: 1 + 2 * steps,
}
