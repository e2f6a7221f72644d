"""A toy in the place of the network: a known velocity field on small latents, sampled by the product's own loop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wan.conditioned import TEXT_ONLY, Conditioning
from wan.sampling.completion import completion_for
from wan.sampling.conditioning import TextOnly
from wan.sampling.geometry import Geometry
from wan.sampling.guidance import Branch
from wan.sampling.loop import begin, sample
from wan.sampling.observers import Observer
from wan.sampling.plan import Expert, Plan, Stage, Step
from wan.sampling.policies import make_plan
from wan.sampling.protocols import Contexts, Denoiser, Velocities
from wan.sampling.solvers import Solver, make_solver
from wan.settings import SamplingSettings
from wan.tune.lockstep import ClipBatch

Field = Callable[[Tensor, Step, Tensor], Tensor]
"""(latents (B, C, F, h, w), step, context (B, 1, 1, 1, 1)) to a velocity."""
GEOMETRY = Geometry(pixel_frames=9, height=16, width=32, latent_channels=4, vae_stride=(4, 8, 8), patch_size=(1, 2, 2))


def curved(latents: Tensor, step: Step, context: Tensor) -> Tensor:
    """A field that no solver follows exactly, and another one for either expert."""
    strength = 0.9 if step.expert is Expert.HIGH_NOISE else 0.3
    return 0.7 * latents - strength * torch.tanh(latents + context) * step.sigma + context


def toy_settings(**changes: Any) -> SamplingSettings:
    values = {
        "solver": "unipc",
        "steps": 8,
        "shift": 5.0,
        "boundary": 0.875,
        "low_noise_guidance_scale": 1.5,
        "high_noise_guidance_scale": 2.0,
    }
    return SamplingSettings(**values | changes)


def toy_plan(geometry: Geometry = GEOMETRY, **changes: Any) -> Plan:
    return make_plan(toy_settings(**changes), geometry)


@dataclass
class ToyExperts:
    """The field as both experts; ``forwards`` counts videos times branches."""

    field: Field = curved
    forwards: int = 0

    @contextmanager
    def resident(self, stage: Stage) -> Iterator[Denoiser]:
        yield self

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        self.forwards += len(hidden_states) * len(contexts)
        return {
            branch: self.field(hidden_states, step, context.reshape(-1, 1, 1, 1, 1))
            for branch, context in contexts.items()
        }

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        raise AssertionError("nobody looks beside the run here")


def run_toy(
    plan: Plan,
    noise: Tensor,
    contexts: Contexts,
    *,
    experts: ToyExperts | None = None,
    solver: Solver | None = None,
    observers: Sequence[Observer] = (),
) -> Tensor:
    """Final latents (B, C, F, h, w)."""
    state = begin(plan, noise=noise, solver=solver or make_solver(plan), latent_input=TextOnly())
    return sample(
        plan,
        state,
        contexts=contexts,
        experts=experts or ToyExperts(),
        latent_input=TextOnly(),
        completion=completion_for(plan.frame_completion),
        observers=observers,
    )


@dataclass
class ToySession:
    """What ``ClipBatch`` asks of a session and of its pipeline."""

    experts: ToyExperts = field(default_factory=ToyExperts)

    @property
    def pipeline(self) -> "ToySession":
        return self

    def conditioning(self, geometry: Geometry) -> Conditioning:
        return TEXT_ONLY

    def sample_batch(
        self,
        plan: Plan,
        contexts: Contexts,
        *,
        noise: Tensor,
        solver: Solver | None,
        conditioning: Conditioning,
        observers: Sequence[Observer],
        wrap: Callable[[Denoiser], Denoiser],
        cache: object = None,
    ) -> Tensor:
        outer = self.experts

        class Wrapped:
            @contextmanager
            def resident(self, stage: Stage) -> Iterator[Denoiser]:
                yield wrap(outer)

        experts: Any = Wrapped()
        return run_toy(plan, noise, contexts, experts=experts, solver=solver, observers=observers)


def toy_noise(clips: int) -> Tensor:
    return torch.randn(clips, *GEOMETRY.latent_shape(), generator=torch.Generator().manual_seed(0))


def toy_contexts(clips: int) -> Contexts:
    """One number for each clip as its prompt, 0 as the negative one."""
    numbers = torch.linspace(-0.5, 0.8, clips).reshape(clips, 1, 1)
    return {Branch.COND: numbers, Branch.UNCOND: torch.zeros_like(numbers)}


def toy_batch(clips: int = 3, *, at_once: int = 8, experts: ToyExperts | None = None) -> ClipBatch:
    session: Any = ToySession(experts or ToyExperts())
    return ClipBatch(session=session, noise=toy_noise(clips), contexts=toy_contexts(clips), at_once=at_once)
