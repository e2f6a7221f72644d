"""Times a task's real sizes with random weights: whole runs, or a few steps of every kind and what they add up to."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from wan.instruments.bench.random_model import RandomModel
from wan.instruments.bench.step_kinds import StepKind, extrapolated_seconds, kinds_of, plan_of_kind
from wan.instruments.bench.tables import row
from wan.instruments.bench.timing import Timed, Timing, time_in_turns
from wan.instruments.bench.variants import PLAIN, Setting
from wan.sampling.plan import Plan


def time_whole_runs(case: Setting, model: RandomModel, *, repeats: int) -> dict[str, Any]:
    """Every step of every variant."""
    plans = case.plans()
    timings = time_in_turns(
        {name: _whole_run(model, plan) for name, plan in plans.items()}, repeats=repeats, device=model.device
    )
    notes = ["Random weights; seconds of all steps of a run, making weights, text and VAE left out"]
    return {"notes": notes, "variants": _rows(case, plans, timings)}


def time_step_kinds(case: Setting, model: RandomModel, *, count: int, repeats: int) -> dict[str, Any]:
    """``count`` steps of every kind; a variant's seconds are the number of its steps of each kind times their cost."""
    plans = case.plans()
    parts = {kind: plan_of_kind(plan, kind, count=count) for kind, plan in kinds_of(plans.values()).items()}
    timings = time_in_turns(
        {kind.label: _few_steps(model, part) for kind, part in parts.items()}, repeats=repeats, device=model.device
    )
    by_kind = {kind: timings[kind.label] for kind in parts}
    notes = [
        f"EXTRAPOLATED: {count} steps of every kind were timed, with random weights; a run's seconds are the number of "
        "its steps of each kind times their median",
        "Making weights, text and VAE are left out",
    ]
    totals = {name: _extrapolated(plan, by_kind) for name, plan in plans.items()}
    return {
        "extrapolated": True,
        "steps_per_stage": count,
        "notes": notes,
        "variants": _rows(case, plans, totals),
        "step_kinds": {kind.label: _kind_row(case, parts[kind], timing) for kind, timing in by_kind.items()},
    }


def _whole_run(model: RandomModel, plan: Plan) -> Timed:
    return Timed(warm_up=lambda: model.warm_up(plan), run=lambda: sum(model.step_seconds(plan)))


def _few_steps(model: RandomModel, plan: Plan) -> Timed:
    return Timed(warm_up=lambda: model.warm_up(plan), run=lambda: median(model.step_seconds(plan)))


def _extrapolated(plan: Plan, by_kind: Mapping[StepKind, Timing]) -> Timing:
    peaks = [timing.peak_bytes for kind, timing in by_kind.items() if kind in kinds_of([plan])]
    return Timing(
        median=extrapolated_seconds(plan, {kind: timing.median for kind, timing in by_kind.items()}),
        minimum=extrapolated_seconds(plan, {kind: timing.minimum for kind, timing in by_kind.items()}),
        maximum=extrapolated_seconds(plan, {kind: timing.maximum for kind, timing in by_kind.items()}),
        peak_bytes=max((peak for peak in peaks if peak is not None), default=None),
    )


def _rows(case: Setting, plans: Mapping[str, Plan], timings: Mapping[str, Timing]) -> dict[str, Any]:
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


def _kind_row(case: Setting, part: Plan, timing: Timing) -> dict[str, Any]:
    """The price of ``part`` is divided by its steps: the timing is that of one."""
    return {
        "seconds": timing.median,
        "seconds_min": timing.minimum,
        "seconds_max": timing.maximum,
        "flops_per_second": case.flops(part) / len(part.steps) / timing.median,
        "peak_bytes": timing.peak_bytes,
    }
