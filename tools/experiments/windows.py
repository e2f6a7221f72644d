"""Where in a run the second guidance pass can be left out at the least cost, and whether a higher scale helps.

Cheap first: on recorded plain runs the error of a window of truncated steps is

    sum over its steps k of g_k (sigma_k - sigma_k+1) (s - 1) (D_k - w_k D_j)

with D_j the last difference that was measured before the window, w_k what the mode makes of it, and g_k how much an
error of that step grows until the end. The best windows of every length are then run, on the clips of the search first,
and the best of those on clips that the search has not seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from experiments.bench import HEAD, Bench, Score, row
from wan.job import vary
from wan.sampling.guidance import TRUNCATION_MODES, ClassifierFree, Guidance
from wan.sampling.plan import Plan, Step
from wan.shortcuts import Shortcuts
from wan.tune import amplification
from wan.tune.recording import Recorder, Recording

MODES = ("reuse", "decay")
LENGTHS = (2, 3, 4, 6)
SCALES = (1.1, 1.2)
MEASURED = (2, 6, 10, 13, 16, 19)
"""Steps, counted from 0, at which the growth of an error is measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """``length`` truncated steps from ``start`` (counted from 0) on; the guided steps of the same expert have their
    scale raised by ``factor``."""

    start: int
    length: int
    mode: str
    factor: float = 1.0

    @property
    def name(self) -> str:
        raised = "" if self.factor == 1.0 else f", scale x {self.factor:g}"
        return f"steps {self.start + 1} to {self.start + self.length}, {self.mode}{raised}"

    @property
    def steps(self) -> range:
        return range(self.start, self.start + self.length)

    def plan(self, plain: Plan) -> Plan:
        """The plain plan with this window."""
        return replace(plain, steps=tuple(self._changed(plain, step) for step in plain.steps))

    def _changed(self, plain: Plan, step: Step) -> Step:
        anchor = plain.steps[self.start - 1]
        guidance = step.guidance
        assert isinstance(guidance, ClassifierFree)
        if step.index in self.steps:
            return replace(step, guidance=self.truncated(plain, step))
        if step.expert is anchor.expert and self.factor != 1.0:
            return replace(step, guidance=ClassifierFree(guidance.scale * self.factor))
        return step

    def truncated(self, plain: Plan, step: Step) -> Guidance:
        """The guidance of a step in the window."""
        guidance, anchor = step.guidance, plain.steps[self.start - 1]
        assert isinstance(guidance, ClassifierFree)
        return TRUNCATION_MODES[self.mode](guidance.scale, step.sigma / anchor.sigma)


def all_windows(plain: Plan, lengths: Sequence[int] = LENGTHS) -> list[Window]:
    """Every window that lies in one stage and has a guided step of it before it."""
    return [
        Window(start=start, length=length, mode=mode)
        for stage in plain.stages
        for length in lengths
        for start in range(stage.steps[1].index, stage.steps[-1].index + 2 - length)
        for mode in MODES
    ]


def predicted(plain: Plan, recording: Recording, growth: Sequence[float], window: Window) -> float:
    """The estimated signal-to-noise ratio of the final latents in dB, mean over clips."""
    anchor = window.start - 1
    error = torch.zeros_like(recording.final)
    for index in window.steps:
        step = plain.steps[index]
        guidance = step.guidance
        assert isinstance(guidance, ClassifierFree)
        missing, reused = window.truncated(plain, step).missed(guidance.scale)
        lost = missing * _difference(recording, index) - reused * _difference(recording, anchor)
        error += growth[index + 1] * (step.sigma - step.sigma_next) * lost
    ratio = error.flatten(1).square().sum(1) / recording.final.flatten(1).square().sum(1)
    return float(-10.0 * ratio.log10().mean())


def _difference(recording: Recording, index: int) -> Tensor:
    """D = v_c - v_u of a recorded step, from x0 = x - sigma v."""
    return (recording.uncond[index] - recording.cond[index]) / recording.sigmas[index]


def measure(search: Bench, report: Bench, *, tick: Callable[[], object]) -> str:
    """The whole search, as Markdown."""
    plain = search.plain
    recording = _record(search, tick)
    growth = _growth(search, recording, tick)
    ranked = sorted(all_windows(plain), key=lambda one: -predicted(plain, recording, growth, one))
    tried = candidates(ranked)
    found = {}
    for window in tried:
        found[window] = search.score(window.plan(plain))
        tick()
    lines = [
        f"Search, {len(search.batch.noise)} training clips:",
        "",
        *_search_table(plain, recording, growth, found),
        "",
    ]
    best = sorted(found, key=lambda one: -found[one].mean)
    for window in best[:2]:
        for factor in SCALES:
            raised = replace(window, factor=factor)
            found[raised] = search.score(raised.plan(plain))
            lines.append(row(raised.name, found[raised]))
            tick()
    lines += ["", f"Report, {len(report.batch.noise)} held-out clips:", "", HEAD]
    for name, plan in reported(report, _best_of_lengths(best)):
        lines.append(row(name, report.score(plan)))
        tick()
    return "\n".join(lines)


def candidates(ranked: Sequence[Window], *, best: int = 2) -> list[Window]:
    """The best of every length, and the worst of every length as a check of the ranking."""
    by_length = [[one for one in ranked if one.length == length] for length in LENGTHS]
    return [one for own in by_length for one in (*own[:best], own[-1])]


def reported(bench: Bench, windows: Sequence[Window]) -> list[tuple[str, Plan]]:
    """The chosen windows, and what they are held against: fewer plain steps and the founding documents' last steps."""
    fewer = [(f"plain, {steps} steps", _with(bench, steps=steps)) for steps in (19, 18, 17, 16)]
    last = [
        (
            f"CFG {low} + {high}, decay",
            _with(bench, Shortcuts(cfg_truncate_steps=low, cfg_truncate_high_noise_steps=high)),
        )
        for low, high in ((0, 3), (0, 6), (3, 0), (3, 3))
    ]
    return [*((one.name, one.plan(bench.plain)) for one in windows), *last, *fewer]


def _with(bench: Bench, shortcuts: Shortcuts = Shortcuts(), steps: int | None = None) -> Plan:
    return vary(bench.job, shortcuts=shortcuts, sample_steps=steps).plan


def _best_of_lengths(best: Sequence[Window]) -> list[Window]:
    return [next(one for one in best if one.length == length) for length in LENGTHS]


def _record(bench: Bench, tick: Callable[[], object]) -> Recording:
    recorder = Recorder(tick)
    final = bench.run(bench.plain, observers=[recorder])
    return Recording(
        sigmas=bench.plain.sigmas,
        states=torch.stack([*recorder.states, final.cpu()]),
        cond=torch.stack(recorder.cond),
        uncond=torch.stack(recorder.uncond),
    )


def _growth(bench: Bench, recording: Recording, tick: Callable[[], object]) -> list[float]:
    found = {}
    for step in MEASURED:
        found[step] = amplification.growth(bench.batch, bench.plain, recording, step)
        tick()
    return amplification.interpolated(found, len(bench.plain.steps))


def _search_table(plain: Plan, recording: Recording, growth: Sequence[float], found: dict[Window, Score]) -> list[str]:
    estimates = {window: predicted(plain, recording, growth, window) for window in found}
    lines = ["| window | estimated, latents dB | cost | PSNR dB, mean / worst | motion |", "|---|---|---|---|---|"]
    for window, score in found.items():
        _, name, rest = row(window.name, score).split("|", 2)
        lines.append(f"|{name}| {estimates[window]:.1f} |{rest}")
    means = [score.mean for score in found.values()]
    correlation = float(np.corrcoef(list(estimates.values()), means)[0, 1])
    return [*lines, "", f"Correlation of estimate and PSNR over these windows: {correlation:.2f}."]
