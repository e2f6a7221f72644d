"""Times a task's real sizes with random weights: whole runs, or a few steps of every kind and what they add up to."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from wan.instruments.bench.random_model import RandomModel
from wan.instruments.bench.step_kinds import StepKind, extrapolated_seconds, kinds_of, plan_of_kind
from wan.instruments.bench.tables import row
from wan.instruments.bench.timing import Timed, Timing, time_in_turns
from wan.instruments.bench.variants import PLAIN, Setting, Variant
from wan.models.engine import Engine


def time_whole_runs(case: Setting, model: RandomModel, *, repeats: int) -> dict[str, Any]:
    """Every step of every variant."""
    timings = time_in_turns(
        {name: _whole_run(model, variant) for name, variant in case.variants.items()},
        repeats=repeats,
        device=model.device,
    )
    notes = ["Random weights; seconds of all steps of a run, making weights, text and VAE left out"]
    return {"notes": notes, "variants": _rows(case, timings)}


def time_step_kinds(case: Setting, model: RandomModel, *, count: int, repeats: int) -> dict[str, Any]:
    """``count`` steps of every kind; a variant's seconds are the number of its steps of each kind times their cost."""
    parts = {name: part for engine in _engines(case) for name, part in _parts(case, engine, count).items()}
    timings = time_in_turns(
        {name: _few_steps(model, part) for name, part in parts.items()}, repeats=repeats, device=model.device
    )
    notes = [
        f"EXTRAPOLATED: {count} steps of every kind were timed, with random weights; a run's seconds are, in every "
        "turn, the number of its steps of each kind times the median of those",
        "Making weights, text and VAE are left out",
    ]
    totals = {name: _extrapolated(case, variant, timings) for name, variant in case.variants.items()}
    return {
        "extrapolated": True,
        "steps_per_stage": count,
        "notes": notes,
        "variants": _rows(case, totals),
        "step_kinds": {name: _kind_row(case, part, timings[name]) for name, part in parts.items()},
    }


def _engines(case: Setting) -> list[Engine]:
    return list(dict.fromkeys(variant.engine for variant in case.variants.values()))


def _parts(case: Setting, engine: Engine, count: int) -> dict[str, Variant]:
    """A few steps of every kind that the variants of one engine have, by their label."""
    plans = [variant.plan for variant in case.variants.values() if variant.engine == engine]
    return {
        _label(case, kind, engine): Variant(plan=plan_of_kind(plan, kind, count=count), engine=engine)
        for kind, plan in kinds_of(plans).items()
    }


def _label(case: Setting, kind: StepKind, engine: Engine) -> str:
    """The kind, and with another engine than the plain variant's the first variant that has it."""
    if engine == case.variants[PLAIN].engine:
        return kind.label
    return f"{kind.label}, {next(name for name, variant in case.variants.items() if variant.engine == engine)}"


def _whole_run(model: RandomModel, variant: Variant) -> Timed:
    return Timed(
        warm_up=lambda: model.warm_up(variant.plan, engine=variant.engine),
        run=lambda: sum(model.step_seconds(variant.plan, engine=variant.engine)),
    )


def _few_steps(model: RandomModel, part: Variant) -> Timed:
    return Timed(
        warm_up=lambda: model.warm_up(part.plan, engine=part.engine),
        run=lambda: median(model.step_seconds(part.plan, engine=part.engine)),
    )


def _extrapolated(case: Setting, variant: Variant, timings: Mapping[str, Timing]) -> Timing:
    by_kind = {kind: timings[_label(case, kind, variant.engine)] for kind in kinds_of([variant.plan])}
    turns = range(len(next(iter(by_kind.values())).seconds))
    return Timing(
        seconds=tuple(
            extrapolated_seconds(variant.plan, {kind: timing.seconds[turn] for kind, timing in by_kind.items()})
            for turn in turns
        ),
        peak_bytes=_most(timing.peak_bytes for timing in by_kind.values()),
    )


def _most(peaks: Iterable[int | None]) -> int | None:
    return max((peak for peak in peaks if peak is not None), default=None)


def _rows(case: Setting, timings: Mapping[str, Timing]) -> dict[str, Any]:
    plans = case.plans()
    return {
        name: row(
            timings[name],
            timings[PLAIN],
            forwards=plan.forwards,
            steps=len(plan.steps),
            flops=case.flops(plan),
            plain_flops=case.flops(plans[PLAIN]),
        )
        for name, plan in plans.items()
    }


def _kind_row(case: Setting, part: Variant, timing: Timing) -> dict[str, Any]:
    """The price of ``part`` is divided by its steps: the timing is that of one."""
    return {
        "seconds": timing.median,
        "seconds_min": timing.minimum,
        "seconds_max": timing.maximum,
        "flops_per_second": case.flops(part.plan) / len(part.plan.steps) / timing.median,
        "peak_bytes": timing.peak_bytes,
    }
