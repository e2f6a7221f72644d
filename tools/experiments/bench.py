"""Many clips of the demo model through one plan at the same time, scored against their plain runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from claims.sample import SEEDS, demo_job, sample_clips
from wan.job import Job
from wan.machine import Machine
from wan.models.cache import WrapDenoiser, as_it_is
from wan.models.network_cache import CacheNetwork
from wan.sampling.observers import Observer
from wan.sampling.plan import Plan
from wan.sampling.price import DenoiserSize, price
from wan.session import Session
from wan.tune.clips import TuneClip, demo_clips
from wan.tune.lockstep import ClipBatch

TRAINING, HELD_OUT = "training", "held-out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """PSNR of every clip in dB; movement of all clips over that of their plain runs; FLOPs over the plain plan's."""

    psnrs: tuple[float, ...]
    motion: float
    cost: float

    @property
    def mean(self) -> float:
        return float(np.mean(self.psnrs))

    @property
    def worst(self) -> float:
        return min(self.psnrs)


def clips_for(kind: str, count: int) -> list[TuneClip]:
    """``count`` training clips, on which anything may be searched, or held-out ones, on which results are reported."""
    if kind == TRAINING:
        return demo_clips(count, draw=1)
    # so that the first 9 show every motion, and the first 18 every prompt
    turns = (sample_clips(1, SEEDS[:1]), sample_clips(seeds=SEEDS[:1]), sample_clips())
    found = dict.fromkeys(TuneClip(prompt=clip.case.prompt, seed=clip.case.seed) for turn in turns for clip in turn)
    return list(found)[:count]


class Bench:
    """Clips with their plain runs."""

    def __init__(self, clips: Sequence[TuneClip], job: Job | None = None) -> None:
        """``job``: another one than the demo model's default."""
        job = job or demo_job()
        self.job = replace(job, request=replace(job.request, machine=Machine(offload="none")))
        self.session = Session(self.job, show_progress=False)
        self.plain = self.job.plan
        self.batch = ClipBatch.of(self.session, clips, self.plain, at_once=len(clips))

    @property
    def size(self) -> DenoiserSize:
        return self.session.checkpoint.denoiser_size

    @cached_property
    def baseline(self) -> np.ndarray:
        """The plain videos (B, N, H, W, 3) in [0, 1]."""
        return self._decode(self.batch.run(self.plain))

    def run(
        self,
        plan: Plan,
        *,
        observers: Sequence[Observer] = (),
        wrap: WrapDenoiser = as_it_is,
        cache: CacheNetwork | None = None,
    ) -> Tensor:
        """The final latents (B, C, L, h, w)."""
        return self.session.pipeline.sample_batch(
            plan, self.batch.contexts, noise=self.batch.noise, observers=observers, wrap=wrap, cache=cache
        )

    def score(self, plan: Plan, *, cost: float | None = None, **how: Any) -> Score:
        """Run, decode and compare; ``cost`` where the plan's price does not tell it."""
        video = self._decode(self.run(plan, **how))
        errors = np.square(video - self.baseline).reshape(len(video), -1).mean(axis=1)
        moved = [float(np.abs(np.diff(one, axis=1)).mean(dtype=np.float64)) for one in (video, self.baseline)]
        return Score(
            psnrs=tuple(float(value) for value in -10.0 * np.log10(np.maximum(errors, 1e-12))),
            motion=moved[0] / moved[1],
            cost=self.cost(plan) if cost is None else cost,
        )

    def cost(self, plan: Plan) -> float:
        """Planned FLOPs, relative to the plain plan's."""
        return price(plan, self.size).planned.flops / price(self.plain, self.size).planned.flops

    def _decode(self, latents: Tensor) -> np.ndarray:
        with torch.no_grad():
            return np.stack([self.session.decode(one) for one in latents])


def row(name: str, score: Score) -> str:
    """A line of a table: name, cost, PSNR mean and worst, motion."""
    return f"| {name} | {score.cost:.3f} | {score.mean:.1f} / {score.worst:.1f} | {score.motion:.2f} |"


HEAD = "| method | cost | PSNR dB, mean / worst | motion |\n|---|---|---|---|"
