"""Budgets by number and by name: the share of the plain run's forwards that a run may cost."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from wan.errors import InvalidInput

PRESETS: Mapping[str, float] = {"exact": 1.0, "balanced": 0.7, "fast": 0.5, "max": 0.35}


def enough(share: float) -> str:
    """A share in two decimals, rounded up: what a user must give to have as much."""
    return f"{math.ceil(share * 100 - 1e-6) / 100:g}"


def refuse_bad_budget(*, budget: float | None, preset: str | None, plan: Path | None, others: Sequence[str]) -> None:
    """``InvalidInput`` for a budget that is none, and for flags that a budget decides itself (``others``)."""
    if budget is not None and not 0.0 < budget <= 1.0:
        raise InvalidInput(f"--budget {budget:g} must be above 0 and at most 1 (1 is the plain run)")
    if budget is not None and preset is not None:
        raise InvalidInput(f"--budget {budget:g} and --preset {preset} both set the budget; give one of them")
    asked = {"--budget": budget, "--preset": preset, "--plan": plan}
    given = [f"{name} {value}" for name, value in asked.items() if value is not None]
    if given and others:
        raise InvalidInput(f"{given[0]} chooses the shortcuts itself, and --{others[0]} was given too; leave one out")
