"""Observers of a debug run: what guidance did at every step, also where a pass was skipped, and the latents on disk."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from wan.analysis.continuity_run import Measurer
from wan.analysis.guidance_error import MAX_AGE, StepGuidance
from wan.runs.debug_latents import DebugStep, save_debug_step
from wan.sampling.carried import Carries, Tree
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Expert


@dataclass(slots=True)
class GuidanceProbe(Observer, Carries):
    """Measures D = v_c - v_u at every step; a branch that the step skipped is evaluated beside the run.

    The extra evaluation changes no number of the run (``Denoiser.predict_beside``); ``shadow`` counts them as the
    forward counter does. Memory: the differences of at most ``MAX_AGE`` earlier steps.
    ``scales`` are the guidance scales per expert, which a truncated step of the plan no longer names.
    """

    scales: Mapping[Expert, float]
    steps: list[StepGuidance] = field(default_factory=list)
    shadow: Counter[str] = field(default_factory=Counter)
    _history: deque[Tensor] = field(default_factory=lambda: deque(maxlen=MAX_AGE))
    _previous: Tensor | None = None
    _stage: tuple[str, int, int] | None = None

    def state(self) -> Tree:
        """The measured steps, and the differences that the next ones are compared with."""
        return {
            "steps": [asdict(step) for step in self.steps],
            "shadow": dict(self.shadow),
            "history": list(self._history),
            "previous": self._previous,
            "stage": self._stage,
        }

    def restore(self, state: Tree) -> None:
        """As ``state`` gave it."""
        self.steps[:] = [StepGuidance(**step) for step in state["steps"]]
        self.shadow.update(state["shadow"])
        self._history.extend(state["history"])
        self._previous = state["previous"]
        self._stage = state["stage"]

    def on_step_end(self, event: StepEvent) -> None:
        step, velocities = event.step, self._all_branches(event)
        stage = (step.expert.value, step.latent_frames, step.position_stride)
        if stage != self._stage:  # differences of another stage are not compared; a resumed stage is the same one
            self._history.clear()
            self._stage = stage
        difference = velocities[Branch.COND] - velocities[Branch.UNCOND]
        scale = self.scales[step.expert]
        guided = velocities[Branch.UNCOND] + scale * difference
        kept = difference.detach().cpu()
        change_mse, cosine = _compare(kept, self._previous)
        self.steps.append(
            StepGuidance(
                index=step.index,
                sigma=step.sigma,
                sigma_next=step.sigma_next,
                timestep=step.timestep,
                expert=step.expert.value,
                latent_frames=step.latent_frames,
                guidance=step.guidance.label,
                scale=scale,
                # at scale 1 the unconditional branch cancels out: leaving it out truncates nothing
                truncated=len(step.branches) == 1 and scale != 1.0,
                mse=_product(kept, kept),
                products=tuple(_product(kept, old) for old in reversed(self._history)),
                change_mse=change_mse,
                cosine=cosine,
                velocity_ms=float(guided.square().mean()),
                x0_ms=float((event.latents_in - step.sigma * guided).square().mean()),
                used_error=float((event.velocity - guided).square().mean()),
            )
        )
        self._history.append(kept)
        self._previous = kept

    def _all_branches(self, event: StepEvent) -> dict[Branch, Tensor]:
        missing = {branch: event.contexts[branch] for branch in Branch if branch not in event.step.evaluated}
        if not missing:
            return event.velocities
        for branch in missing:
            self.shadow[f"{event.step.expert.value}.{branch.value}"] += 1
        return event.velocities | event.denoiser.predict_beside(event.hidden_states, event.timestep, missing)


@dataclass(frozen=True, slots=True)
class LatentsDump(Observer):
    """Writes every step's latents as it ends; nothing is kept in memory."""

    folder: Path
    dtype: torch.dtype = torch.float32

    def on_step_end(self, event: StepEvent) -> None:
        save_debug_step(self.folder, _debug_step(event), dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class ContinuityProbe(Observer):
    """Measures temporal continuity while a run goes, without a file."""

    measurer: Measurer = field(default_factory=Measurer)

    def on_step_end(self, event: StepEvent) -> None:
        self.measurer.add(_debug_step(event))


def _debug_step(event: StepEvent) -> DebugStep:
    step = event.step
    return DebugStep(
        step=step.index + 1,
        timestep=step.timestep,
        sigma=step.sigma,
        expert=step.expert.value,
        x_t=event.latents_in[0].cpu(),
        velocity=event.velocity[0].cpu(),
    )


def _compare(new: Tensor, old: Tensor | None) -> tuple[float | None, float | None]:
    """Mean squared change and cosine of two differences, on the frames that both have."""
    if old is None:
        return None, None
    if new.shape != old.shape:
        new = new[:, :, ::2]  # the frames that half-frame generation had kept
    size = (_product(new, new) * _product(old, old)) ** 0.5
    product = _product(new, old)
    return float((new.double() - old.double()).square().mean()), product / size if size else None


def _product(first: Tensor, second: Tensor) -> float:
    """Mean product; in float64, because differences of the sums are taken later."""
    return float((first.double() * second.double()).mean())
