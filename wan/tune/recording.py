"""Recorded baseline runs: all states and all denoised estimates of every tuning clip."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from wan.runs.atomic import atomic_path
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan
from wan.tune.lockstep import ClipBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """The plain runs of B clips on S steps.

    ``sigmas`` (S + 1,), the last one 0; ``states`` (S + 1, B, C, L, h, w) at these sigmas; ``cond`` and ``uncond``
    (S, B, C, L, h, w): x0 = x - sigma v of either branch.
    """

    sigmas: tuple[float, ...]
    states: Tensor
    cond: Tensor
    uncond: Tensor

    @property
    def final(self) -> Tensor:
        """The baseline's latents (B, C, L, h, w)."""
        return self.states[-1]

    def state_at(self, sigma: float) -> Tensor:
        """(B, C, L, h, w) at any sigma: recorded, or by the parabola through the three nearest recorded states."""
        if sigma in self.sigmas:
            return self.states[self.sigmas.index(sigma)]
        below = next(index for index, recorded in enumerate(self.sigmas) if recorded < sigma)
        first = min(max(below - 1, 0), len(self.sigmas) - 3)
        nodes = range(first, first + 3)
        weights = [_lagrange(self.sigmas, node, nodes, sigma) for node in nodes]
        return torch.stack([w * self.states[node] for w, node in zip(weights, nodes, strict=True)]).sum(0)


def _lagrange(sigmas: tuple[float, ...], node: int, nodes: range, sigma: float) -> float:
    weight = 1.0
    for other in nodes:
        if other != node:
            weight *= (sigma - sigmas[other]) / (sigmas[node] - sigmas[other])
    return weight


@dataclass(slots=True)
class Recorder(Observer):
    """Keeps what a ``Recording`` holds."""

    tick: Callable[[], object]
    states: list[Tensor] = field(default_factory=list)
    cond: list[Tensor] = field(default_factory=list)
    uncond: list[Tensor] = field(default_factory=list)

    def on_step_end(self, event: StepEvent) -> None:
        self.states.append(event.latents_in.cpu())
        for branch, kept in ((Branch.COND, self.cond), (Branch.UNCOND, self.uncond)):
            kept.append((event.latents_in - event.step.sigma * event.velocities[branch]).cpu())
        self.tick()


def record(batch: ClipBatch, plan: Plan, path: Path, *, tick: Callable[[], object]) -> Recording:
    """Run the plain plan on all clips, or read back what ``path`` holds of it. ``tick`` is called after every step."""
    if path.is_file():
        return Recording(sigmas=plan.sigmas, **load_file(path))
    recorder = Recorder(tick)
    final = batch.run(plan, observers=[recorder])
    tensors = {
        "states": torch.stack([*recorder.states, final.cpu()]),
        "cond": torch.stack(recorder.cond),
        "uncond": torch.stack(recorder.uncond),
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    return Recording(sigmas=plan.sigmas, **tensors)
