"""The cache of a run with its knobs resolved: what the plan carries, and the defaults of every cache."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wan.cache_knobs import CACHE_KNOBS
from wan.shortcuts import Shortcuts

# the hooks of a cache would be compiled with the blocks, anew for each of its states, and forwards be miscounted
COMPILED_CACHE = "--compile and {} do not go together, such a cache changes what the blocks do; leave one of them out"

DEFAULTS: Mapping[str, Mapping[str, float]] = {
    # diffusers' own defaults
    "sea": {"threshold": 0.25, "max_skips": 2, "order": 1},
    # the published setting of Wan2.2 at 480p; the retention stands with every curve
    "mag": {"threshold": 0.06, "max_skips": 2},
    # diffusers' default of 0.05 hardly ever skips on Wan2.2
    "first_block": {"threshold": 0.1},
    "taylor": {"interval": 2, "order": 1},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSettings:
    """A cache and its knobs; None where it has no such knob. ``retention`` of MagCache None: what its curve says."""

    name: str
    threshold: float | None = None
    max_skips: int | None = None
    retention: float | None = None
    order: int | None = None
    interval: int | None = None

    @property
    def is_planned(self) -> bool:
        """Whether the plan says which steps it skips; the others decide while they sample."""
        return self.name in ("mag", "taylor")

    @property
    def is_in_network(self) -> bool:
        """Whether it works inside the networks, and not around them."""
        return self.name != "taylor"

    def record(self) -> dict[str, Any]:
        """The knobs that it has, for ``run.json``."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def cache_settings(shortcuts: Shortcuts) -> CacheSettings | None:
    """The cache that the shortcuts ask for, unset knobs at their defaults."""
    if shortcuts.cache == "none":
        return None
    asked = {knob: getattr(shortcuts, f"cache_{knob}") for knob in CACHE_KNOBS[shortcuts.cache]}
    given: dict[str, Any] = {knob: value for knob, value in asked.items() if value is not None}
    return CacheSettings(name=shortcuts.cache, **{**DEFAULTS[shortcuts.cache], **given})
