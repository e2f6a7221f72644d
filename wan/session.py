"""A loaded pipeline that makes many videos: the owner of checkpoint, device and image conditioning.

Comparisons, sweeps, measurements and ``generate`` itself work through it, so that weights are read once. A session
makes one video at a time (the pipeline's networks are set up for the stage that runs); another thread waits for its
turn.
"""

import copy
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

import wan
from wan.conditioned import Conditioning
from wan.errors import InvalidInput
from wan.job import Job, open_job_checkpoint
from wan.loading.layouts import Checkpoint
from wan.loading.models import silence_loading_bars
from wan.models.cache import WrapDenoiser, as_it_is
from wan.models.denoiser import batched, one_by_one
from wan.models.devices import pick_device
from wan.models.engine import Engine
from wan.models.network_cache import CacheNetwork
from wan.parallel.sharing import refuse_without_team, sharing_of
from wan.parallel.team import ALONE, Team
from wan.pipeline import Pipeline
from wan.sampling.geometry import Geometry
from wan.sampling.guidance import Branch
from wan.sampling.observers import ForwardCounter, NaNGuard, Observer, ProgressBar, StepTimer, TimerResume
from wan.sampling.plan import Plan, excerpt
from wan.sampling.protocols import Contexts
from wan.sampling.snapshot import Snapshot

_MOST_TEXTS = 64
"""Embeddings that are kept from job to job, 4 MB each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """What one run of a plan made and used.

    ``latents`` (C, F, h, w) float32. ``forwards``, ``token_forwards`` and ``flops`` (of the blocks) are what really
    ran, also under a cache. ``step_seconds``: pure inference; ``switch_seconds``: loading, moving and frame
    completion at every stage, the first one included.
    """

    plan: Plan
    prompt: str
    seed: int
    latents: Tensor
    forwards: int
    token_forwards: int
    flops: float
    step_seconds: tuple[float, ...]
    switch_seconds: tuple[float, ...]

    @property
    def inference_seconds(self) -> float:
        return sum(self.step_seconds)


class Session:
    """One checkpoint on one device, as a job's ``machine`` says; prompts, seeds and plans are given run by run."""

    def __init__(
        self, job: Job, *, checkpoint: Checkpoint | None = None, show_progress: bool = True, team: Team = ALONE
    ) -> None:
        """Raises what the entry class raises for a checkpoint or device that cannot be used.

        ``checkpoint``: the job's, when the caller has opened it before. ``team``: the processes that share the work.
        """
        if job.extending is not None:
            raise InvalidInput(
                "the request asks for an extended prompt (use_prompt_extend), and nobody has extended it yet; hand the "
                "job to wan.extending.extended_job first, or generate with wan.generation.generate"
            )
        silence_loading_bars()
        machine = job.request.machine
        refuse_without_team(sharing_of(machine), team.sharing)
        self.config = job.config
        self.checkpoint = checkpoint or open_job_checkpoint(job)
        self.device = pick_device(machine.device) if team.is_alone else team.device
        entry: type[Pipeline] = getattr(wan, job.config.entry)
        self.pipeline = entry(
            job.config,
            checkpoint=self.checkpoint,
            t5_cpu=machine.t5_cpu,
            device=self.device,
            dtype=machine.dtype,
            engine=Engine(evaluate=batched if machine.batch_cfg else one_by_one, compile=machine.compile),
            offload=machine.offload_for(job.config),
            attention=machine.attention,
            vae_tiling=machine.vae_tiling,
            text_cache=machine.text_cache,
            prefetch_gib=machine.prefetch_gib,
            weights=job.request.weights,
            team=team,
        )
        self._image = job.image
        self._negative_prompt = job.negative_prompt
        self._conditionings: dict[Geometry, Conditioning] = {}
        self._texts: dict[str, Tensor] = {}
        self._show_progress = show_progress

    def sample(
        self,
        plan: Plan,
        *,
        prompt: str,
        seed: int,
        observers: Sequence[Observer] = (),
        wrap: WrapDenoiser = as_it_is,
        cache: CacheNetwork | None = None,
        timer: StepTimer | None = None,
        start: Snapshot | None = None,
        negative_prompt: str | None = None,
    ) -> Sampled:
        """One run. The same prompt and seed give the same text and the same noise to every plan.

        ``wrap`` and ``cache``: see ``Pipeline.sample``. ``timer``: the caller's, which keeps what was timed when the
        run ends early. ``start``: where an interrupted run of the same plan goes on. ``negative_prompt`` None: that of
        the job.
        """
        contexts = self.contexts(prompt, negative_prompt=negative_prompt)
        conditioning = self.conditioning(plan.geometry)
        counter, timer = self.pipeline.forward_counter, timer or StepTimer(device=self.device)
        forwards, token_forwards, flops = counter.total, counter.token_forwards, counter.flops
        with ExitStack() as stack:
            watching: list[Observer] = [timer, NaNGuard(), *observers]
            if self._show_progress:
                watching.append(stack.enter_context(ProgressBar(plan, done=start.steps_done if start else 0)))
            latents = self.pipeline.sample(
                plan,
                contexts,
                seed=seed,
                conditioning=conditioning,
                observers=[*watching, TimerResume(timer)],
                wrap=wrap,
                cache=cache,
                start=start,
            )
        return Sampled(
            plan=plan,
            prompt=prompt,
            seed=seed,
            latents=latents,
            forwards=counter.total - forwards,
            token_forwards=counter.token_forwards - token_forwards,
            flops=counter.flops - flops,
            step_seconds=tuple(timer.step_seconds),
            switch_seconds=tuple(timer.switch_seconds),
        )

    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents (C, F, h, w) to a video (N, H, W, 3), float32 in [0, 1]: what the metrics measure."""
        return as_unit_video(self.pipeline.decode(latents))

    def warm_up(self, plans: Iterable[Plan], *, prompt: str) -> None:
        """The first step of every stage of every plan, thrown away: loads the experts, meets every shape once."""
        for plan in plans:
            firsts = excerpt(plan, (stage.steps[0] for stage in plan.stages))
            conditioning = self.conditioning(plan.geometry)
            self.pipeline.sample(firsts, self.contexts(prompt), seed=0, conditioning=conditioning)

    def contexts(self, prompt: str, *, negative_prompt: str | None = None) -> Contexts:
        """Text embeddings of a prompt and of the negative one (None: the job's), encoded once: an offloaded text
        encoder is read anew for new texts."""
        negative = self._negative_prompt if negative_prompt is None else negative_prompt
        texts = {Branch.COND: prompt, Branch.UNCOND: negative or self.config.sample_neg_prompt}
        self.embed(texts.values())
        return {branch: self._texts[text] for branch, text in texts.items()}

    def embed(self, texts: Iterable[str]) -> None:
        """Encode those of the texts that are not known yet, with the encoder read once for all of them."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._texts]:
            self._texts |= self.pipeline.embed(new)

    def serving(self, job: Job) -> Self:
        """This session for another job on the same checkpoint and machine: its image, its negative prompt, a counter of
        its own; the models stay loaded, and the newest texts known."""
        other = copy.copy(self)
        other._image, other._negative_prompt, other._conditionings = job.image, job.negative_prompt, {}
        for text in list(self._texts)[:-_MOST_TEXTS]:
            del self._texts[text]
        self.pipeline.forward_counter = ForwardCounter()
        return other

    def conditioning(self, geometry: Geometry) -> Conditioning:
        """What the job's image conditions in a video of that shape, encoded once for each shape."""
        if geometry not in self._conditionings:
            self._conditionings[geometry] = self.pipeline.conditioning(self._image, geometry)
        return self._conditionings[geometry]


def as_unit_video(video: Tensor) -> np.ndarray:
    """(3, N, H, W) in [-1, 1] to (N, H, W, 3), float32 in [0, 1]."""
    unit = (video.float() * 0.5 + 0.5).clamp(0.0, 1.0)
    return unit.permute(1, 2, 3, 0).cpu().numpy()
