"""A pipeline that is loaded once and runs many plans: comparisons, sweeps and measurements read the weights once."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from wan.options import Options
from wan.sampling.observers import NaNGuard, Observer, ProgressBar, StepTimer, TimerResume
from wan.sampling.plan import Plan
from wan.sampling.protocols import Contexts
from wan.workflow import open_conditions, open_pipeline


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """What one run of a plan made and used.

    ``latents`` (C, F, h, w) float32. ``step_seconds``: pure inference; ``switch_seconds``: loading, moving and frame
    completion at every stage, the first one included.
    """

    plan: Plan
    prompt: str
    seed: int
    latents: Tensor
    forwards: int
    token_forwards: int
    step_seconds: tuple[float, ...]
    switch_seconds: tuple[float, ...]

    @property
    def inference_seconds(self) -> float:
        return sum(self.step_seconds)


class Session:
    """Checkpoint, device and dtype of ``options``; prompts, seeds and plans are given run by run."""

    def __init__(self, options: Options, *, show_progress: bool = True) -> None:
        """Raises what the entry class raises for a checkpoint or device that cannot be used."""
        self.options = options
        self.pipeline = open_pipeline(options)
        self._conditions = open_conditions(options, self.pipeline)
        self._contexts: dict[str, Contexts] = {}
        self._show_progress = show_progress

    def sample(self, plan: Plan, *, prompt: str, seed: int, observers: Sequence[Observer] = ()) -> Sampled:
        """One run. The same prompt and seed give the same text and the same noise to every plan."""
        contexts = self._encode(prompt)
        counter, timer = self.pipeline.forward_counter, StepTimer(device=self.pipeline.device)
        forwards, token_forwards = counter.total, counter.token_forwards
        with ExitStack() as stack:
            watching: list[Observer] = [timer, NaNGuard(), *observers]
            if self._show_progress:
                watching.append(stack.enter_context(ProgressBar(plan)))
            latents = self.pipeline.sample(
                plan,
                contexts,
                seed=seed,
                conditioning=self._conditions,
                offload_model=self.options.offload_model,
                observers=[*watching, TimerResume(timer)],
            )
        return Sampled(
            plan=plan,
            prompt=prompt,
            seed=seed,
            latents=latents,
            forwards=counter.total - forwards,
            token_forwards=counter.token_forwards - token_forwards,
            step_seconds=tuple(timer.step_seconds),
            switch_seconds=tuple(timer.switch_seconds),
        )

    def decode(self, latents: Tensor) -> np.ndarray:
        """Latents (C, F, h, w) to a video (N, H, W, 3), float32 in [0, 1]: what the metrics measure."""
        video = self.pipeline.decode(latents)
        return as_unit_video(video)

    def warm_up(self, plans: Iterable[Plan], *, prompt: str) -> None:
        """The first step of every stage of every plan, thrown away: loads the experts, meets every shape once."""
        for plan in plans:
            firsts = replace(plan, steps=tuple(stage.steps[0] for stage in plan.stages))
            self.pipeline.sample(
                firsts,
                self._encode(prompt),
                seed=0,
                conditioning=self._conditions,
                offload_model=self.options.offload_model,
            )

    def _encode(self, prompt: str) -> Contexts:
        # text embeddings are small, and an offloaded text encoder is read anew for every prompt
        if prompt not in self._contexts:
            self._contexts[prompt] = self.pipeline.encode(
                prompt, self.options.negative_prompt, offload_model=self.options.offload_model
            )
        return self._contexts[prompt]


def as_unit_video(video: Tensor) -> np.ndarray:
    """(3, N, H, W) in [-1, 1] to (N, H, W, 3), float32 in [0, 1]."""
    unit = (video.float() * 0.5 + 0.5).clamp(0.0, 1.0)
    return unit.permute(1, 2, 3, 0).cpu().numpy()
