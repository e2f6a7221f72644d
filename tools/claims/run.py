"""Measures what the claims of the founding documents are about: every method on every case, in one loaded pipeline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wan.analysis.comparison import CaseResult, judge, worst_case
from wan.analysis.continuity_run import ContinuityRun
from wan.analysis.debug import scales_of
from wan.analysis.guidance_report import ErrorAnalysis, analyse
from wan.analysis.measures import Cost
from wan.analysis.probe import ContinuityProbe, GuidanceProbe
from wan.instruments.compare import make, observe
from wan.instruments.flags import Case
from wan.instruments.methods import (
    BASELINE,
    Method,
    baseline_of,
    fewer_steps_of,
    other_seed_of,
    steps_of_equal_cost,
)
from wan.job import Job, vary
from wan.sampling.observers import Observer
from wan.sampling.price import DenoiserSize
from wan.session import Session
from wan.shortcuts import BEST_HALF_FRAME, Shortcuts

_CFG_5 = {"cfg_truncate_steps": 5}
_CFG_5_3 = {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3}
_OURS = {name: getattr(BEST_HALF_FRAME, name) for name in ("frame_completion", "frame_positions")}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "CFG 5, decay": _CFG_5 | {"cfg_truncate_mode": "decay"},
    "CFG 0 + 3, decay": {"cfg_truncate_high_noise_steps": 3, "cfg_truncate_mode": "decay"},
    "CFG 5 + 3, decay": _CFG_5_3 | {"cfg_truncate_mode": "decay"},
    "CFG 5 + 3, cond": _CFG_5_3 | {"cfg_truncate_mode": "cond"},
    "CFG 5 + 3, uncond": _CFG_5_3 | {"cfg_truncate_mode": "uncond"},
    "half-frame, repeat": {"frame_completion": "repeat"},
    "half-frame, improved": {"frame_completion": "improved"},
    "half-frame, improved, CFG 5 + 3, decay": _CFG_5_3 | {"frame_completion": "improved", "cfg_truncate_mode": "decay"},
    "half-frame, interpolate, spread": _OURS,
    "half-frame, interpolate, spread, CFG 5 + 3, decay": _OURS | _CFG_5_3 | {"cfg_truncate_mode": "decay"},
}
OTHER_SEED = "another seed"
SHOWN = ("CFG 5 + 3, decay", "half-frame, repeat", "half-frame, improved, CFG 5 + 3, decay")


@dataclass(frozen=True, kw_only=True, slots=True)
class Worst:
    """The videos of a method's worst case, for its picture."""

    result: CaseResult
    method: np.ndarray
    baseline: np.ndarray


@dataclass(kw_only=True, slots=True)
class Measurements:
    """Everything over all cases: results and continuity by method, error analyses of the plain runs."""

    methods: tuple[Method, ...]
    results: dict[str, list[CaseResult]] = field(default_factory=dict)
    continuity: dict[str, list[ContinuityRun]] = field(default_factory=dict)
    analyses: list[ErrorAnalysis] = field(default_factory=list)
    worst: dict[str, Worst] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        return next(method for method in self.methods if method.name == name)


def claim_methods(job: Job, size: DenoiserSize) -> tuple[Method, ...]:
    """The baseline, every method, another seed, and plain runs as cheap as the dearest and the cheapest method."""
    baseline = baseline_of(job)
    methods = [
        Method(name=name, title=name, job=vary(job, shortcuts=Shortcuts(**fields))) for name, fields in METHODS.items()
    ]
    other = replace(other_seed_of(baseline), name=OTHER_SEED)
    counts = {steps_of_equal_cost(method.plan, baseline, size) for method in methods}
    fewer = [
        replace(fewer_steps_of(baseline, steps), name=f"plain, {steps} steps")
        for steps in sorted({min(counts), max(counts)}, reverse=True)
        if steps < len(baseline.plan.steps)
    ]
    return baseline, *methods, other, *fewer


def measure_cases(
    methods: tuple[Method, ...], cases: Sequence[Case], session: Session, say: Callable[[str], None]
) -> Measurements:
    """Run everything; keeps the videos of one case and of the worst cases that are shown."""
    found = Measurements(methods=methods)
    for number, case in enumerate(cases, start=1):
        say(f"case {number} of {len(cases)}: {case.prompt!r}, seed {case.seed}")
        baseline, *others = methods
        reference, reference_cost = _make(baseline, case, session, found)
        for method in others:
            video, cost = _make(method, case, session, found)
            observation = observe(method, video, reference, cost=cost, baseline_cost=reference_cost)
            result = judge(observation, prompt=case.prompt, seed=case.seed)
            results = found.results.setdefault(method.name, [])
            results.append(result)
            if method.name in SHOWN and worst_case(results) == len(results) - 1:
                found.worst[method.name] = Worst(result=result, method=video, baseline=reference)
    return found


def _make(method: Method, case: Case, session: Session, found: Measurements) -> tuple[np.ndarray, Cost]:
    probe, continuity = GuidanceProbe(scales_of(method.settings)), ContinuityProbe()
    observers: list[Observer] = [probe] if method.name == BASELINE else []
    if not method.is_control:
        observers.append(continuity)
    video, cost, _ = make(session, method, case, observers=observers)
    if method.name == BASELINE:
        found.analyses.append(analyse(probe.steps, mode=method.settings.cfg_truncate_mode))
    if not method.is_control:
        found.continuity.setdefault(method.name, []).append(continuity.measurer.finish())
    return video, cost
