"""From which step on do half of the frames no longer suffice? Asked of the temporal spectrum, and of a sweep."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from experiments.bench import HEAD, Bench, row
from wan.analysis.temporal_spectrum import temporal_power, upper_share, upper_visible_sigma
from wan.job import vary
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan
from wan.shortcuts import Shortcuts


@dataclass(slots=True)
class SpectrumRecorder(Observer):
    """The temporal power of the guided estimate x0 at every step, all clips as one."""

    powers: list[np.ndarray] = field(default_factory=list)

    def on_step_end(self, event: StepEvent) -> None:
        denoised = event.latents_in - event.step.sigma * event.velocity
        self.powers.append(temporal_power(denoised.float().cpu().numpy()))


def measure(bench: Bench, *, tolerance: float, window: int, tick: Callable[[], object]) -> str:
    """Both answers, as Markdown."""
    recorder = SpectrumRecorder()
    bench.run(bench.plain, observers=[recorder])
    shares = [upper_share(power) for power in recorder.powers]
    visible = upper_visible_sigma(recorder.powers[-1])
    lines = ["| step | sigma | upper half of the temporal frequencies: share of what changes |", "|---|---|---|"]
    lines += [
        f"| {s.index + 1} | {s.sigma:.3f} | {share:.3f} |" for s, share in zip(bench.plain.steps, shares, strict=True)
    ]
    lines += ["", _answers(bench.plain, shares, visible, tolerance), "", HEAD]
    for name, plan in sweep_plans(bench, window):
        lines.append(row(name, bench.score(plan)))
        tick()
    return "\n".join(lines)


def sweep_plans(bench: Bench, window: int) -> list[tuple[str, Plan]]:
    """Half of the frames for ``window`` steps at every place, and from the first step up to every other."""
    steps = len(bench.plain.steps)
    places = [(f"steps {first + 1} to {first + window}", first, window) for first in range(0, steps - window, 2)]
    lengths = [(f"steps 1 to {length}", 0, length) for length in range(2, steps - 1, 3)]
    return [(name, _half(bench, first, count)) for name, first, count in (*places, *lengths)]


def _half(bench: Bench, first: int, count: int) -> Plan:
    shortcuts = Shortcuts(
        frame_completion="follow" if first else "interpolate",
        frame_positions="spread",
        half_frame_start=first,
        half_frame_steps=count,
    )
    return vary(bench.job, shortcuts=shortcuts).plan


def _answers(plan: Plan, shares: list[float], visible: float, tolerance: float) -> str:
    over = next((step for step, share in zip(plan.steps, shares, strict=True) if share > tolerance), None)
    seen = next((step for step in plan.steps if step.sigma <= visible), None)
    by_share = "no step" if over is None else f"step {over.index + 1} (sigma {over.sigma:.3f})"
    by_noise = "no step" if seen is None else f"step {seen.index + 1} (sigma {seen.sigma:.3f})"
    return (
        f"The upper half carries more than {tolerance:.0%} of what changes from {by_share} on. In the finished latents "
        f"its power equals the noise's at sigma {visible:.3f}, which is {by_noise}."
    )
