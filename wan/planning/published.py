"""Budgets without a calibration: MagCache on the published curves, with the least error sum that keeps the budget."""

from dataclasses import replace

from wan.budgets import enough
from wan.commands import command_line
from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import price, published_size
from wan.settings import SamplingSettings
from wan.shortcuts import Shortcuts, shortcut_values

MAX_SKIPS = (1, 2, 3, 4, 6)
RETENTIONS = (0.4, 0.2, 0.1, 0.0)
THRESHOLDS = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.18, 0.25, 0.4, 0.6, 1.0)


def published_plan(config: TaskConfig, settings: SamplingSettings, geometry: Geometry, *, budget: float) -> Plan:
    """The mildest MagCache setting that costs at most ``budget`` of the plain run.

    Mildest first: a long start that is never skipped (errors made at high noise grow most), then few skips in a row,
    then a low threshold. ``InvalidInput`` where none suffices.
    """
    size, cheapest = published_size(config), 1.0
    plain = price(make_plan(replace(settings, **shortcut_values(Shortcuts())), geometry), size).planned.flops
    for retention in RETENTIONS:
        for skips in MAX_SKIPS:
            for threshold in THRESHOLDS:
                plan = make_plan(_with_mag(settings, threshold, skips, retention), geometry)
                cost = price(plan, size).planned.flops / plain
                cheapest = min(cheapest, cost)
                if cost <= budget + 1e-9:
                    return replace(plan, notices=(_notice(threshold, skips, retention, cost), *plan.notices))
    raise InvalidInput(
        f"a budget of {budget:g}: without a calibration of this checkpoint the plans are MagCache's on published "
        f"curves, and the cheapest of them costs {enough(cheapest)}; give at least that, or calibrate the checkpoint "
        f"with `{command_line('tune')}`"
    )


def _with_mag(settings: SamplingSettings, threshold: float, skips: int, retention: float) -> SamplingSettings:
    mag = Shortcuts(cache="mag", cache_threshold=threshold, cache_max_skips=skips, cache_retention=retention)
    return replace(settings, **shortcut_values(mag))


def _notice(threshold: float, skips: int, retention: float, cost: float) -> str:
    return (
        "not calibrated on this checkpoint: the plan is MagCache's on a published curve "
        f"(--cache mag --cache_threshold {threshold:g} --cache_max_skips {skips} --cache_retention {retention:g}), "
        f"at {cost:.2f} of the plain run's cost, and its error here is unknown; `{command_line('tune')}` finds a plan "
        "for this checkpoint and says what it loses"
    )
