"""Caches of diffusers that have no flag here, from their config's name and arguments in a suite."""

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from diffusers import hooks

from wan.errors import InvalidInput
from wan.instruments.arena.suite import PeerConfig
from wan.models.network_cache import CacheNetwork, Clock, DiffusersCache
from wan.sampling.plan import Stage

_CLOCK = "current_timestep_callback"


def peer_cache(peer: PeerConfig) -> CacheNetwork:
    """The cache that a suite describes, made anew for every stage; ``InvalidInput`` for a config that diffusers lacks.

    Lists become tuples, a number for an argument ``*_callback`` a function that always gives it, and a config that asks
    for the timestep is told it.
    """
    config: Any = getattr(hooks, peer.cls, None)
    if config is None or not peer.cls.endswith("Config"):
        raise InvalidInput(f"diffusers has no {peer.cls}; a peer's class is the name of a cache config of diffusers")
    # diffusers says with every use that a cache is experimental: once a stage, for hundreds of videos
    logging.getLogger("diffusers.hooks").setLevel(logging.ERROR)
    own = {one.name for one in fields(config)}
    arguments = {name: _argument(name, value) for name, value in peer.args.items()}

    def config_for(stage: Stage, clock: Clock) -> Any:
        told: Mapping[str, Any] = {_CLOCK: lambda: clock.timestep} if _CLOCK in own else {}
        return config(**told, **arguments)

    return DiffusersCache(config_for)


def _argument(name: str, value: Any) -> Any:
    if name.endswith("_callback") and isinstance(value, int | float):
        return lambda *asked: float(value)
    return tuple(value) if isinstance(value, list) else value
