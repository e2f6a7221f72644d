"""The error analysis of one run in words: the founding documents' findings, tables per step and expert, advice."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from wan.analysis.continuity import phase_ranges
from wan.analysis.guidance_error import (
    TOLERANCE,
    Recommendation,
    StepGuidance,
    ages_at,
    best_weight,
    experts_of,
    recommend,
    reuse_error,
    reuse_errors_by_age,
)
from wan.commands import program

# "Clearly higher" in the founding documents' second finding.
CLEARLY = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A claim, what this run measured, and whether that confirms it (None: the run cannot tell)."""

    claim: str
    measured: str
    confirmed: bool | None

    @property
    def verdict(self) -> str:
        return {True: "CONFIRMED", False: "NOT CONFIRMED", None: "CANNOT TELL"}[self.confirmed]


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorAnalysis:
    """Everything that the report, the figures and the JSON show."""

    steps: tuple[StepGuidance, ...]
    findings: tuple[Finding, ...]
    recommendations: tuple[Recommendation, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "steps": [step.as_dict() | _reuse(self.steps, position) for position, step in enumerate(self.steps)],
            "experts": {expert: _expert_summary(self.steps, expert) for expert in experts_of(self.steps)},
            "findings": [asdict(finding) | {"verdict": finding.verdict} for finding in self.findings],
            "recommendations": [asdict(item) for item in self.recommendations],
            "tolerance": TOLERANCE,
        }


def analyse(steps: Sequence[StepGuidance], *, mode: str) -> ErrorAnalysis:
    """The analysis of a run's steps; ``mode`` is the truncation mode that the advice is for."""
    return ErrorAnalysis(
        steps=tuple(steps),
        findings=(_change_settles(steps), _high_noise_differs_more(steps), _change_below_difference(steps)),
        recommendations=tuple(recommend(steps, expert, mode) for expert in experts_of(steps)),
    )


def format_report(analysis: ErrorAnalysis, *, title: str) -> str:
    """``error_analysis_report.txt``."""
    rule = "=" * 100
    parts = [
        f"CFG error analysis: {title}\n{rule}",
        "D = conditional - unconditional velocity. MSE: mean D^2. change: mean (D - previous D)^2. cosine: of D and\n"
        "previous D. cost: mean squared difference of the velocity that was used from the fully guided one, relative\n"
        "to the latter's mean square (0 where both passes ran).",
        "\n".join(_step_lines(analysis.steps)),
        "\n".join(_expert_lines(analysis.steps)),
        "\n".join(_finding_lines(analysis.findings)),
        "\n".join(_reuse_lines(analysis.steps)),
        "\n".join(_truncation_lines(analysis.steps)),
        "\n".join(_advice_lines(analysis.recommendations)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _change_settles(steps: Sequence[StepGuidance]) -> Finding:
    first_quarter = phase_ranges(len(steps))["early"]
    # across the expert switch two networks are compared, not two moments of one
    changes = [
        (new.index + 1, new.change_mse) for old, new in pairwise(steps) if new.change_mse and old.expert == new.expert
    ]
    early = [change for number, change in changes if number in first_quarter]
    after = [change for number, change in changes if number not in first_quarter]
    claim = "the CFG difference changes strongly in the first quarter of the steps (1-5 of 20), then settles"
    if not early or not after:
        return Finding(claim=claim, measured="too few steps", confirmed=None)
    first, rest = fmean(early), fmean(after)
    number, largest = max(changes, key=lambda item: item[1])
    measured = (
        f"mean change {first:.3e} in steps 2-{first_quarter[-1]}, {rest:.3e} after; largest {largest:.3e} at step "
    )
    measured += f"{number}; changes across the expert switch left out"
    return Finding(claim=claim, measured=measured, confirmed=first > rest)


def _high_noise_differs_more(steps: Sequence[StepGuidance]) -> Finding:
    claim = "the CFG difference is clearly larger in the high-noise expert than in the low-noise one"
    by_expert = {expert: fmean(s.mse for s in steps if s.expert == expert) for expert in experts_of(steps)}
    high, low = by_expert.get("high_noise"), by_expert.get("low_noise")
    if high is None or low is None:
        return Finding(claim=claim, measured=f"this run used {', '.join(by_expert)} only", confirmed=None)
    ratio = high / low if low else float("inf")
    measured = f"mean MSE {high:.3e} (high noise), {low:.3e} (low noise): {ratio:.2f} times; clearly = {CLEARLY} times"
    return Finding(claim=claim, measured=measured, confirmed=ratio >= CLEARLY)


def _change_below_difference(steps: Sequence[StepGuidance]) -> Finding:
    claim = "from step to step the CFG difference changes by less than its own size (change < MSE)"
    compared = [(step.index + 1, step.change_mse < step.mse) for step in steps if step.change_mse is not None]
    if not compared:
        return Finding(claim=claim, measured="too few steps", confirmed=None)
    failed = [number for number, is_below in compared if not is_below]
    measured = f"true at {len(compared) - len(failed)} of {len(compared)} steps"
    if failed:
        measured += f", not at {', '.join(map(str, failed))}"
    measured += " (no law: it holds where D and the previous D point alike, cosine above about 0.5)"
    return Finding(claim=claim, measured=measured, confirmed=not failed)


def _step_lines(steps: Sequence[StepGuidance]) -> list[str]:
    lines = [
        f"{'step':>4}  {'sigma':>8}  {'expert':<10}  {'frames':>6}  {'MSE':>10}  {'change':>10}  {'cosine':>7}  "
        f"{'cost':>9}  guidance"
    ]
    for previous, step in zip((None, *steps[:-1]), steps, strict=True):
        if previous is not None and previous.expert != step.expert:
            lines.append("      ---- expert switch ----")
        mark = "  (truncated)" if step.truncated else ""
        lines.append(
            f"{step.index + 1:>4}  {step.sigma:>8.6f}  {step.expert:<10}  {step.latent_frames:>6}  {step.mse:>10.4e}  "
            f"{_number(step.change_mse, '.4e'):>10}  {_number(step.cosine, '.4f'):>7}  "
            f"{step.used_error / (step.velocity_ms or 1.0):>9.3e}  {step.guidance}{mark}"
        )
    return lines


def _expert_lines(steps: Sequence[StepGuidance]) -> list[str]:
    lines = ["per expert", f"{'expert':<10}  {'steps':>5}  {'mean MSE':>10}  {'mean change':>11}  {'mean cosine':>11}"]
    for expert in experts_of(steps):
        summary = _expert_summary(steps, expert)
        lines.append(
            f"{expert:<10}  {summary['steps']:>5}  {summary['mse']:>10.4e}  "
            f"{_number(summary['change_mse'], '.4e'):>11}  {_number(summary['cosine'], '.4f'):>11}"
        )
    return lines


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    lines = ["findings"]
    for number, finding in enumerate(findings, start=1):
        lines += [f"{number}. {finding.claim}", f"   {finding.verdict}: {finding.measured}"]
    return lines


def _reuse_lines(steps: Sequence[StepGuidance]) -> list[str]:
    lines = [
        "relative error of reusing a difference that is k steps old: mean (D - old D)^2 / mean D^2, mean over steps"
    ]
    for expert in experts_of(steps):
        errors = reuse_errors_by_age(steps, expert)
        values = "  ".join(f"k={age}: {fmean(errors[age]):.3f}" for age in errors) or "a single step"
        lines.append(f"  {expert:<10}  {values}")
    return lines


def _truncation_lines(steps: Sequence[StepGuidance]) -> list[str]:
    truncated = [step for step in steps if step.truncated]
    if not truncated:
        return []
    costs = ", ".join(f"{s.index + 1}: {s.used_error / (s.velocity_ms or 1.0):.3e}" for s in truncated)
    return [
        f"truncated in this run: {len(truncated)} steps, their skipped passes evaluated beside the run. Cost per step",
        f"(relative squared velocity error): {costs}",
    ]


def _advice_lines(recommendations: Sequence[Recommendation]) -> list[str]:
    flags = {"high_noise": "M (--cfg_truncate_high_noise_steps)"}
    lines = [
        f"recommended truncation: the most steps whose estimated error of the final latent is below {TOLERANCE:.0%}"
    ]
    for item in recommendations:
        flag = flags.get(item.expert, "N (--cfg_truncate_steps)")
        errors = ", ".join(f"{error:.1%}" for error in item.errors)
        lines.append(f"  {flag} = {item.steps} with mode {item.mode}; estimates for 1, 2, ... steps: {errors}")
    lines.append(f"  first-order estimate from one run: check it with `{program('compare')}`")
    return lines


def _expert_summary(steps: Sequence[StepGuidance], expert: str) -> dict[str, Any]:
    own = [step for step in steps if step.expert == expert]
    changes = [step.change_mse for step in own if step.change_mse is not None]
    cosines = [step.cosine for step in own if step.cosine is not None]
    return {
        "steps": len(own),
        "mse": fmean(step.mse for step in own),
        "change_mse": fmean(changes) if changes else None,
        "cosine": fmean(cosines) if cosines else None,
    }


def _reuse(steps: Sequence[StepGuidance], position: int) -> dict[str, list[float]]:
    ages = ages_at(steps, position)
    return {
        "reuse_error_by_age": [reuse_error(steps, position, age) for age in ages],
        "best_weight_by_age": [best_weight(steps, position, age) for age in ages],
    }


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
