"""The caches that ``--cache`` knows, the knobs that each of them has, and the values that a knob may take."""

import math
from collections.abc import Mapping

from wan.errors import InvalidInput

CACHE_KNOBS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "sea": ("threshold", "max_skips", "order"),
    "mag": ("threshold", "max_skips", "retention"),
    "first_block": ("threshold",),
    "taylor": ("order", "interval"),
}
"""The caches and the knobs that each has: ``cache_threshold`` and so on; unset ones are at the cache's default."""
ALL_KNOBS = ("threshold", "max_skips", "retention", "order", "interval")
_MAX_ORDER = {"sea": 1, "taylor": 2}


def refuse_bad_knobs(cache: str, knobs: Mapping[str, float | None]) -> None:
    """``InvalidInput`` for a knob (one of ``ALL_KNOBS``, None: unset) that the cache does not have, and for a value out
    of its range; NaN is in none of them."""
    given = {knob: value for knob, value in knobs.items() if value is not None}
    for knob in given:
        if knob not in CACHE_KNOBS[cache]:
            having = " or ".join(name for name, own in CACHE_KNOBS.items() if knob in own)
            raise InvalidInput(
                f"--cache_{knob} has no effect with --cache {cache}; leave it out, or use --cache {having}"
            )
    highest = _MAX_ORDER.get(cache, 0)
    rules = {
        "threshold": (0.0, math.inf, "0 (skip nothing) or more"),
        "max_skips": (1, math.inf, "1 or more"),
        "retention": (0.0, 1.0, "from 0 to 1"),
        "order": (0, highest, f"0 to {highest} with --cache {cache}"),
        "interval": (1, math.inf, "1 (skip nothing) or more"),
    }
    for knob, value in given.items():
        low, high, rule = rules[knob]
        if not (low <= value <= high and value != math.inf):
            raise InvalidInput(f"--cache_{knob} {value:g} must be {rule}")
