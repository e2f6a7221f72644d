"""A method against its baseline over prompts and seeds: one result per case, verdicts, and the worst case."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from wan.analysis.measures import MEASURES, Cost, Observation, Spread, measure
from wan.analysis.measures import summarise as summarise_values

# What the founding documents call a small loss of quality, and a structure that is fully kept.
PSNR_THRESHOLD = 35.0
SSIM_THRESHOLDS = (0.95, 0.98)
# A video with less than 1 / this, or more than this, of the baseline's motion froze or flickers, whatever its PSNR.
MOTION_FACTOR = 1.5
# A method that is nearer to another seed's score than this has nothing in common with its baseline.
OTHER_SEED_MARGIN_DB = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One method on one prompt and seed. ``measures``: the table of ``wan.analysis.measures``; ``psnrs`` and ``ssims``
    of every frame; ``divergence``: relative RMS difference of the latents after every step, empty when the step counts
    differ."""

    prompt: str
    seed: int
    measures: Mapping[str, float]
    psnrs: tuple[float, ...]
    ssims: tuple[float, ...]
    divergence: tuple[float, ...]
    cost: Cost
    baseline_cost: Cost

    def as_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        return finite(
            {
                "prompt": self.prompt,
                "seed": self.seed,
                "measures": dict(self.measures),
                "psnr_per_frame": self.psnrs,
                "ssim_per_frame": self.ssims,
                "divergence": self.divergence,
                "cost": asdict(self.cost),
                "baseline_cost": asdict(self.baseline_cost),
            }
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The result that ``as_dict`` described; LookupError, TypeError or ValueError for anything else."""
        return cls(
            prompt=data["prompt"],
            seed=data["seed"],
            measures={name: float(value) for name, value in data["measures"].items()},
            psnrs=tuple(map(float, data["psnr_per_frame"])),
            ssims=tuple(map(float, data["ssim_per_frame"])),
            divergence=tuple(map(float, data["divergence"])),
            cost=Cost(**data["cost"]),
            baseline_cost=Cost(**data["baseline_cost"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A rule, what was measured, and whether it is met; None: this comparison cannot tell."""

    rule: str
    measured: str
    met: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Yardsticks:
    """What a method's numbers are held against: the summaries of the controls that were run (``missing`` says why one
    was not), and the words of the prompts that the model does not know."""

    other_seed: Mapping[str, Spread] | None = None
    fewer_steps: Mapping[str, Spread] | None = None
    fewer_steps_title: str = ""
    missing: str = "not run: add --control"
    unknown_words: Sequence[str] = field(default_factory=tuple)


def judge(observation: Observation, *, prompt: str, seed: int, divergence: Sequence[float] = ()) -> CaseResult:
    """Measure one case; ValueError when the two videos do not fit each other."""
    return CaseResult(
        prompt=prompt,
        seed=seed,
        measures=measure(observation),
        psnrs=observation.psnrs,
        ssims=observation.ssims,
        divergence=tuple(divergence),
        cost=observation.cost,
        baseline_cost=observation.baseline_cost,
    )


def summarise(results: Sequence[CaseResult]) -> dict[str, Spread]:
    """Aggregate, median, standard deviation and worst case of every measure."""
    return summarise_values([result.measures for result in results])


def verdicts(summary: Mapping[str, Spread], against: Yardsticks = Yardsticks()) -> tuple[Verdict, ...]:
    """Whether the prompts mean anything to the model, the founding documents' thresholds, and the controls."""
    return (*_word_verdicts(against), *_threshold_verdicts(summary), *_control_verdicts(summary, against))


def _word_verdicts(against: Yardsticks) -> list[Verdict]:
    if not against.unknown_words:
        return []
    words = ", ".join(against.unknown_words)
    rule = "the prompts mean something to the model (what it does not understand cannot be lost)"
    return [Verdict(rule=rule, measured=f"it does not know: {words}", met=False)]


def _threshold_verdicts(summary: Mapping[str, Spread]) -> list[Verdict]:
    rows = [("psnr", PSNR_THRESHOLD), *(("ssim", threshold) for threshold in SSIM_THRESHOLDS)]
    found = []
    for name, threshold in rows:
        measure_row, mean = MEASURES[name], summary[name].mean
        unit = f" {measure_row.unit}" if measure_row.unit else ""
        rule = f"{measure_row.label[0]} > {threshold:g}{unit}"
        found.append(Verdict(rule=rule, measured=measure_row.text(mean), met=mean > threshold))
    ratio = summary["motion_ratio"].mean
    is_alike = 1 / MOTION_FACTOR <= ratio <= MOTION_FACTOR
    rule = f"motion within a factor of {MOTION_FACTOR:g} of the baseline's"
    return [*found, Verdict(rule=rule, measured=MEASURES["motion_ratio"].text(ratio), met=is_alike)]


def _control_verdicts(summary: Mapping[str, Spread], against: Yardsticks) -> list[Verdict]:
    own = summary["psnr"].mean
    found = [_better_than_another_seed(own, against)]
    if against.fewer_steps is None:
        rule = "better than fewer plain steps at the same cost"
        return [*found, Verdict(rule=rule, measured=against.missing, met=None)]
    other = against.fewer_steps["psnr"].mean
    rule = f"better than fewer plain steps at the same cost ({against.fewer_steps_title})"
    return [*found, Verdict(rule=rule, measured=f"{own:.2f} dB against {other:.2f} dB", met=own > other)]


def _better_than_another_seed(own: float, against: Yardsticks) -> Verdict:
    rule = f"at least {OTHER_SEED_MARGIN_DB:g} dB better than another seed of the same prompt (nothing in common)"
    if against.other_seed is None:
        return Verdict(rule=rule, measured=against.missing, met=None)
    other = against.other_seed["psnr"].mean
    measured = f"{own:.2f} dB against {other:.2f} dB"
    return Verdict(rule=rule, measured=measured, met=own >= other + OTHER_SEED_MARGIN_DB)


def worst_case(results: Sequence[CaseResult]) -> int:
    """Position of the case with the lowest PSNR."""
    return min(range(len(results)), key=lambda position: results[position].measures["psnr"])


def finite(value: Any) -> Any:
    """``value`` for strict JSON: infinite numbers as 'inf', tuples as lists, at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
