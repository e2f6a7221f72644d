"""The cache that a plan names, made ready to work: around the denoiser, or on its network."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from diffusers.hooks import SeaCacheConfig
from torch import Tensor

from wan.models.block_cache import ALONE, Agreement, FirstBlockDecides, PlannedResiduals, block_cache
from wan.models.cache import WrapDenoiser, as_it_is
from wan.models.forecast import TaylorForecast
from wan.models.network_cache import CacheNetwork, Clock, DiffusersCache, uncached
from wan.sampling.cache_settings import CacheSettings
from wan.sampling.plan import Plan, Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanCache:
    """Both places that a cache can take."""

    wrap: WrapDenoiser = as_it_is
    network: CacheNetwork = uncached


def cache_of(plan: Plan, *, agreement: Agreement = ALONE) -> PlanCache:
    """What executes the cache of a plan; nothing where it has none. ``agreement``: of the processes that share it."""
    return PlanCache() if plan.cache is None else _MAKERS[plan.cache.name](plan.cache, agreement)


def _mag(cache: CacheSettings, agreement: Agreement) -> PlanCache:
    return PlanCache(network=block_cache(PlannedResiduals))


def _first_block(cache: CacheSettings, agreement: Agreement) -> PlanCache:
    assert cache.threshold is not None
    make = functools.partial(FirstBlockDecides, threshold=cache.threshold, agreement=agreement)
    return PlanCache(network=block_cache(make))


def _taylor(cache: CacheSettings, agreement: Agreement) -> PlanCache:
    assert cache.order is not None
    return PlanCache(wrap=functools.partial(TaylorForecast, order=cache.order))


def _sea(cache: CacheSettings, agreement: Agreement) -> PlanCache:
    """diffusers' SeaCache. Its first and last step are those of the run: the first step of every stage is computed
    anyway, because nothing is kept yet, and the last one before the expert switch has no need to be."""
    assert cache.threshold is not None and cache.order is not None and cache.max_skips is not None
    config = SeaCacheConfig(
        threshold=cache.threshold,
        residual_order=cache.order,
        max_consecutive_cached=cache.max_skips,
        raw_vision_callback=_noisy_latents,
    )

    def config_for(stage: Stage, clock: Clock) -> SeaCacheConfig:
        return config

    return PlanCache(network=DiffusersCache(config_for))


def _noisy_latents(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """What SeaCache compares from step to step: the noisy latents (C, F, h, w), the same for both branches, without the
    channels of an image."""
    latents: Tensor = kwargs["hidden_states"]
    return [latents[0, : model.config.out_channels]]


_MAKERS: Mapping[str, Callable[[CacheSettings, Agreement], PlanCache]] = {
    "mag": _mag,
    "sea": _sea,
    "first_block": _first_block,
    "taylor": _taylor,
}
