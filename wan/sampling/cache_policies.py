"""The caches that are decided in the plan: which steps MagCache and TaylorSeer skip, before the first forward.

Both decide for all branches of a step at once, begin anew in every stage, and compute a step whose branches were not
all computed at the last computed step.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from wan.sampling.cache_settings import CacheSettings
from wan.sampling.guidance import Branch
from wan.sampling.mag_curves import MagCurve, find_curve
from wan.sampling.plan import Expert, Step, stages_of
from wan.settings import SamplingSettings

TAYLOR_WARM_UP = 3
"""Steps that TaylorSeer computes first in every stage: diffusers' default."""


def plan_cache(
    settings: SamplingSettings, cache: CacheSettings | None, steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], list[str]]:
    """The steps with those marked that the cache skips, and sentences about what a user should know."""
    if cache is None:
        return steps, []
    return _POLICIES[cache.name](settings, cache, steps)


def skips(ratios: Sequence[float], *, threshold: float, max_skips: int, retained: int) -> list[bool]:
    """MagCache's rule for one branch of one expert: whether each step is skipped.

    The product of the ratios since the last computed step estimates how far the residual has shrunk; its distances
    from 1 add up to an error. A step is skipped while that error stays below ``threshold`` (E) and at most
    ``max_skips`` (K) steps in a row are; the first ``retained`` steps never are.
    """
    rule = MagRule(threshold=threshold, max_skips=max_skips)
    return [index >= retained and rule.skips(ratio) for index, ratio in enumerate(ratios)]


@dataclass(kw_only=True, slots=True)
class MagRule:
    """The running sums of MagCache's rule."""

    threshold: float
    max_skips: int
    ratio: float = 1.0
    error: float = 0.0
    in_a_row: int = 0

    def skips(self, ratio: float) -> bool:
        """Whether the next step, with this ratio, is skipped; a step that is not starts the sums anew."""
        self.ratio *= ratio
        self.error += abs(1.0 - self.ratio)
        self.in_a_row += 1
        if self.error < self.threshold and self.in_a_row <= self.max_skips:
            return True
        self.restart()
        return False

    def restart(self) -> None:
        """A step is computed."""
        self.ratio, self.error, self.in_a_row = 1.0, 0.0, 0


def retained_forwards(retention: float, steps: int, *, is_first_expert: bool) -> int:
    """How many forwards at the start of an expert's range are never skipped, counted as the published code counts: both
    branches of ``steps`` steps, rounded down to whole forwards for the expert that begins the run and up for the next.
    """
    share = retention * 2 * steps
    return int(share) if is_first_expert else ceil(share)


def published_skips(curve: MagCurve, *, threshold: float, max_skips: int, retention: float) -> int:
    """How many of the 2 x ``curve.steps`` forwards the published code skips on its own curve.

    It decides for every branch by itself: where an odd number of forwards is retained, the branches of a step part.
    """
    total = 0
    for expert, count in _ranges(curve):
        if expert.value not in curve.skipping_experts:
            continue
        retained = retained_forwards(retention, count, is_first_expert=expert is not Expert.LOW_NOISE)
        for place, branch in enumerate((Branch.COND, Branch.UNCOND)):
            ratios = curve.of_expert(expert, branch, steps=count)
            own = (retained + 1 - place) // 2
            # the expert's first step has nothing to reuse, even with no retention
            total += sum(skips(ratios, threshold=threshold, max_skips=max_skips, retained=max(1, own)))
    return total


def _ranges(curve: MagCurve) -> Iterator[tuple[Expert, int]]:
    if curve.high_noise_steps:
        yield Expert.HIGH_NOISE, curve.high_noise_steps
        yield Expert.LOW_NOISE, curve.steps - curve.high_noise_steps
    else:
        yield Expert.SINGLE, curve.steps


def _mag(
    settings: SamplingSettings, cache: CacheSettings, steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], list[str]]:
    """Both branches of a step follow the conditional one."""
    assert cache.threshold is not None and cache.max_skips is not None
    curve, notices = find_curve(settings.curve)
    if settings.shift != curve.shift:
        notices.append(
            f"--cache mag was calibrated at shift {curve.shift:g} and this run has {settings.shift:g}: the curve of "
            f"{curve.name} is used as it is, and its errors are not those of this grid"
        )
    retention = curve.retention if cache.retention is None else cache.retention
    own = {expert: [step.index for step in steps if step.expert is expert] for expert in Expert}
    skipped: set[int] = set()
    for stage in stages_of(steps):
        indices = own[stage.expert]
        ratios = curve.of_expert(stage.expert, Branch.COND, steps=len(indices))
        retained = retained_forwards(retention, len(indices), is_first_expert=indices[0] == steps[0].index)
        may_skip = stage.expert.value in curve.skipping_experts
        rule = MagRule(threshold=cache.threshold, max_skips=cache.max_skips)
        held: frozenset[Branch] = frozenset()
        for step in stage.steps:
            place = indices.index(step.index)
            can = may_skip and 2 * place >= retained and held.issuperset(step.branches)
            if can and rule.skips(ratios[place]):
                skipped.add(step.index)
            else:
                rule.restart()
                held = frozenset(step.branches)
    return _marked(steps, skipped), notices


def _taylor(
    settings: SamplingSettings, cache: CacheSettings, steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], list[str]]:
    """After a warm-up every ``interval``-th step of a stage is computed."""
    assert cache.interval is not None
    skipped: set[int] = set()
    for stage in stages_of(steps):
        held: frozenset[Branch] = frozenset()
        for place, step in enumerate(stage.steps):
            is_due = place < TAYLOR_WARM_UP or (place - TAYLOR_WARM_UP + 1) % cache.interval == 0
            if is_due or not held.issuperset(step.branches):
                held = frozenset(step.branches)
            else:
                skipped.add(step.index)
    return _marked(steps, skipped), []


def _decided_while_sampling(
    settings: SamplingSettings, cache: CacheSettings, steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], list[str]]:
    return steps, [
        f"--cache {cache.name} decides while sampling which steps it skips: the plan's forwards and its price are "
        "upper bounds, and the run's record says what was executed"
    ]


Policy = Callable[[SamplingSettings, CacheSettings, tuple[Step, ...]], tuple[tuple[Step, ...], list[str]]]
_POLICIES: Mapping[str, Policy] = {
    "mag": _mag,
    "taylor": _taylor,
    "sea": _decided_while_sampling,
    "first_block": _decided_while_sampling,
}


def _marked(steps: tuple[Step, ...], skipped: set[int]) -> tuple[Step, ...]:
    return tuple(replace(s, cached=frozenset(s.branches)) if s.index in skipped else s for s in steps)
