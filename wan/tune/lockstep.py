"""Many clips through one plan at the same time: what a fit needs, whose every step looks at all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wan.models.cache import WrapDenoiser, as_it_is
from wan.models.network_cache import CacheNetwork
from wan.sampling.carried import Carries
from wan.sampling.guidance import Branch
from wan.sampling.observers import NaNGuard, Observer
from wan.sampling.plan import Plan, Step
from wan.sampling.protocols import Contexts, Denoiser, Velocities
from wan.sampling.solvers import Solver
from wan.session import Session
from wan.tune.clips import TuneClip


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBatch:
    """Clips made ready: noise (B, C, L, h, w), text embeddings (B, T, D) per branch.

    ``at_once``: how many clips a forward evaluates; fewer need less memory.
    """

    session: Session
    noise: Tensor
    contexts: Contexts
    at_once: int

    @classmethod
    def of(cls, session: Session, clips: Sequence[TuneClip], plan: Plan, *, at_once: int) -> "ClipBatch":
        """Encodes the prompts and draws the noise that ``generate`` would draw for the same seeds."""
        contexts = [session.contexts(clip.prompt) for clip in clips]
        return cls(
            session=session,
            noise=torch.stack([session.pipeline.noise(plan.geometry, clip.seed) for clip in clips]),
            contexts={branch: torch.cat([context[branch] for context in contexts]) for branch in Branch},
            at_once=at_once,
        )

    def run(
        self,
        plan: Plan,
        *,
        start: Tensor | None = None,
        solver: Solver | None = None,
        observers: Sequence[Observer] = (),
        wrap: WrapDenoiser = as_it_is,
        cache: CacheNetwork | None = None,
    ) -> Tensor:
        """The final latents (B, C, L, h, w). ``start``: latents at the plan's first sigma, where that is not noise."""
        return self.session.pipeline.sample_batch(
            plan,
            self.contexts,
            noise=self.noise if start is None else start,
            solver=solver,
            conditioning=self.session.conditioning(plan.geometry),
            observers=[NaNGuard(), *observers],
            wrap=lambda denoiser: wrap(InTurns(denoiser, at_once=self.at_once)),
            cache=cache,
        )


class InTurns(Carries):
    """Evaluates a batch a few clips at a time."""

    def __init__(self, denoiser: Denoiser, *, at_once: int) -> None:
        self._denoiser = denoiser
        self._at_once = at_once

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """As ``Denoiser.predict``."""
        parts = [
            self._denoiser.predict(step, hidden, time, dict(zip(contexts, texts, strict=True)))
            for hidden, time, *texts in zip(
                hidden_states.split(self._at_once),
                timestep.split(self._at_once),
                *(context.split(self._at_once) for context in contexts.values()),
                strict=True,
            )
        ]
        return {branch: torch.cat([part[branch] for part in parts]) for branch in contexts}

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """Nothing is kept here."""
        return self._denoiser.predict_beside(hidden_states, timestep, contexts)
