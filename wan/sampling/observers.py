"""Observers: see every stage and step, change nothing. Progress bar, timing, NaN guard, records."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from wan.errors import NumericalError
from wan.sampling.carried import Carries, Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Plan, Stage, Step
from wan.sampling.protocols import Contexts, Denoiser
from wan.sampling.state import SamplerState


@dataclass(frozen=True, kw_only=True, slots=True)
class StepEvent:
    """What an observer sees after a step: latents before and after (B, C, F, h, w), velocities by branch and combined,
    the sampler's state, and the denoiser with its input and all contexts, so that an instrument can evaluate a skipped
    branch beside the run."""

    step: Step
    latents_in: Tensor
    latents_out: Tensor
    state: SamplerState
    velocities: dict[Branch, Tensor]
    velocity: Tensor
    hidden_states: Tensor
    timestep: Tensor
    denoiser: Denoiser
    contexts: Contexts


class Observer:
    """Does nothing; an instrument overrides what it needs."""

    def on_stage_start(self, stage: Stage) -> None:
        """Before the stage's expert is brought to the device."""

    def on_stage_ready(self, stage: Stage) -> None:
        """The expert is on the device; the first step follows."""

    def on_step_end(self, event: StepEvent) -> None:
        """After every step."""


class ProgressBar(Observer):
    """A bar over all steps, the first ``done`` of which were made before, that names the expert at work; ``close`` it,
    or use it in ``with``."""

    def __init__(self, plan: Plan, *, done: int = 0) -> None:
        self._bar = tqdm(total=len(plan.steps), initial=done, desc="sampling", unit="step")

    def on_stage_start(self, stage: Stage) -> None:
        self._bar.set_postfix_str(f"{stage.expert.value}, {stage.latent_frames} latent frames")

    def on_step_end(self, event: StepEvent) -> None:
        self._bar.update()

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.close()


class NaNGuard(Observer):
    """Stops the run at the first value that is not finite."""

    def on_step_end(self, event: StepEvent) -> None:
        if not torch.isfinite(event.latents_out).all():
            step = event.step
            raise NumericalError(
                f"step {step.index + 1} ({step.expert.value} expert, sigma {step.sigma:.4f}) produced a value that is "
                "not finite; try --dtype bfloat16 or float32, or a lower --sample_guide_scale"
            )


@dataclass(slots=True)
class StepTimer(Observer, Carries):
    """Seconds of every step and of every expert switch (load, move and frame completion), on a synchronised device."""

    carries = ("step_seconds", "switch_seconds")

    device: torch.device
    clock: Callable[[], float] = time.perf_counter
    step_seconds: list[float] = field(default_factory=list)
    switch_seconds: list[float] = field(default_factory=list)
    _last: float = 0.0

    def on_stage_start(self, stage: Stage) -> None:
        self._last = self._now()

    def on_stage_ready(self, stage: Stage) -> None:
        self.switch_seconds.append(self._lap())

    def on_step_end(self, event: StepEvent) -> None:
        self.step_seconds.append(self._lap())

    def resume(self) -> None:
        """What ran since the last lap was an instrument's own work and counts for no step."""
        self._last = self._now()

    def _lap(self) -> float:
        now = self._now()
        seconds, self._last = now - self._last, now
        return seconds

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock()


@dataclass(frozen=True, slots=True)
class TimerResume(Observer):
    """Stands last, so that the work of the instruments before it is left out of the timer's steps."""

    timer: StepTimer

    def on_step_end(self, event: StepEvent) -> None:
        self.timer.resume()


@dataclass(slots=True)
class ForwardCounter(Carries):
    """Counts what the denoisers really evaluated: called by them at every forward, one count per branch.

    A forward counts when its last block has run to the end; ``work`` has the FLOPs of the blocks' parts that ran, also
    of a forward that a cache cut short, and not those of an instrument's forwards beside the run.
    """

    carries = ("counts", "token_forwards", "flops_by")

    counts: Counter[str] = field(default_factory=Counter)
    token_forwards: int = 0
    flops_by: dict[str, float] = field(default_factory=dict)

    def __call__(self, expert: str, branch: Branch, tokens: int) -> None:
        self.counts[f"{expert}.{branch.value}"] += 1
        self.token_forwards += tokens

    def work(self, flops: Mapping[str, float]) -> None:
        """Add FLOPs by part of the blocks."""
        for part, amount in flops.items():
            self.flops_by[part] = self.flops_by.get(part, 0.0) + amount

    def restore(self, state: Tree) -> None:
        Carries.restore(self, state)
        self.counts = Counter(self.counts)

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def flops(self) -> float:
        return sum(self.flops_by.values())
