"""Measures what the claims of the seeds' documents are about: every method on every case, in one loaded pipeline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wan.instruments.flags import Case
from wan.instruments.methods import OTHER_SEED_SHIFT, Side, steps_of_equal_cost
from wan.analysis.comparison import CaseResult, Cost, judge, worst_case
from wan.analysis.continuity_run import ContinuityRun
from wan.analysis.debug import scales_of
from wan.analysis.guidance_report import ErrorAnalysis, analyse
from wan.analysis.probe import ContinuityProbe, GuidanceProbe
from wan.loading.layouts import Checkpoint
from wan.options import Options
from wan.sampling.observers import Observer
from wan.sampling.policies import make_plan
from wan.sampling.price import price
from wan.session import Session
from wan.settings import SamplingSettings

_CFG_5 = {"cfg_truncate_steps": 5}
_CFG_5_3 = {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3}
_OURS = {"frame_completion": "interpolate", "frame_positions": "spread"}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "CFG 5, decay": _CFG_5 | {"cfg_truncate_mode": "decay"},
    "CFG 5 + 3, decay": _CFG_5_3 | {"cfg_truncate_mode": "decay"},
    "CFG 5 + 3, cond": _CFG_5_3 | {"cfg_truncate_mode": "cond"},
    "CFG 5 + 3, uncond": _CFG_5_3 | {"cfg_truncate_mode": "uncond"},
    "half-frame, repeat": {"frame_completion": "repeat"},
    "half-frame, improved": {"frame_completion": "improved"},
    "half-frame, improved, CFG 5 + 3, decay": _CFG_5_3 | {"frame_completion": "improved", "cfg_truncate_mode": "decay"},
    "half-frame, interpolate, spread": _OURS,
    "half-frame, interpolate, spread, CFG 5 + 3, decay": _OURS | _CFG_5_3 | {"cfg_truncate_mode": "decay"},
}
OTHER_SEED, BASELINE = "another seed", "baseline"
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

    sides: tuple[Side, ...]
    results: dict[str, list[CaseResult]] = field(default_factory=dict)
    continuity: dict[str, list[ContinuityRun]] = field(default_factory=dict)
    analyses: list[ErrorAnalysis] = field(default_factory=list)
    worst: dict[str, Worst] = field(default_factory=dict)

    def side(self, name: str) -> Side:
        return next(side for side in self.sides if side.name == name)


def claim_sides(options: Options, checkpoint: Checkpoint) -> tuple[Side, ...]:
    """The baseline, every method, another seed, and plain runs as cheap as the dearest and the cheapest method."""
    plain = options.settings
    baseline = _side(BASELINE, plain, options)
    methods = [_side(name, replace(plain, **changes), options) for name, changes in METHODS.items()]
    other = replace(baseline, name=OTHER_SEED, seed_shift=OTHER_SEED_SHIFT, is_control=True)
    counts = {steps_of_equal_cost(side.plan, baseline, checkpoint.denoiser_size) for side in methods}
    fewer = [
        replace(_side(f"plain, {steps} steps", replace(plain, steps=steps), options), is_control=True)
        for steps in sorted({min(counts), max(counts)}, reverse=True)
        if steps < plain.steps
    ]
    return baseline, *methods, other, *fewer


def measure_cases(
    sides: tuple[Side, ...],
    cases: Sequence[Case],
    session: Session,
    checkpoint: Checkpoint,
    report: Callable[[str], None],
) -> Measurements:
    """Run everything; keeps the videos of one case and of the worst cases that are shown."""
    found = Measurements(sides=sides)
    for number, case in enumerate(cases, start=1):
        report(f"case {number} of {len(cases)}: {case.prompt!r}, seed {case.seed}")
        reference = None
        for side in sides:
            video, cost = _make(side, case, session, checkpoint, found)
            if reference is None:
                reference = video, cost
                continue
            result = judge(
                video,
                reference[0],
                prompt=case.prompt,
                seed=case.seed,
                half_frame_stride=side.plan.geometry.vae_stride[0] if side.is_half_frame else None,
                divergence=(),
                cost=cost,
                baseline_cost=reference[1],
            )
            results = found.results.setdefault(side.name, [])
            results.append(result)
            if side.name in SHOWN and worst_case(results) == len(results) - 1:
                found.worst[side.name] = Worst(result=result, method=video, baseline=reference[0])
    return found


def _make(
    side: Side, case: Case, session: Session, checkpoint: Checkpoint, found: Measurements
) -> tuple[np.ndarray, Cost]:
    probe, continuity = GuidanceProbe(scales_of(side.settings)), ContinuityProbe()
    observers: list[Observer] = [probe] if side.name == BASELINE else []
    if not side.is_control:
        observers.append(continuity)
    sampled = session.sample(side.plan, prompt=case.prompt, seed=case.seed + side.seed_shift, observers=observers)
    if side.name == BASELINE:
        found.analyses.append(analyse(probe.steps, mode=side.settings.cfg_truncate_mode))
    if not side.is_control:
        found.continuity.setdefault(side.name, []).append(continuity.measurer.finish())
    cost = Cost(
        forwards=sampled.forwards,
        token_forwards=sampled.token_forwards,
        flops=price(side.plan, checkpoint.denoiser_size).planned.flops,
        inference_seconds=sampled.inference_seconds,
        switch_seconds=sum(sampled.switch_seconds),
        decode_seconds=0.0,
    )
    return session.decode(sampled.latents), cost


def _side(name: str, settings: SamplingSettings, options: Options) -> Side:
    return Side(name=name, title=name, settings=settings, plan=make_plan(settings, options.geometry))
