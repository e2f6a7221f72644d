"""Solver adapters: diffusers' multistep schedulers on the plan's own sigmas, restartable and exact under frame maps.

UniPC (Zhao et al. 2023) and DPM-Solver++ (Lu et al. 2022), both of order 2 as the official code runs them. A multistep
solver remembers tensors of the latent's shape; when the number of frames changes, these tensors must be mapped to the
new frames or discarded.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from diffusers.schedulers import DPMSolverMultistepScheduler, UniPCMultistepScheduler
from torch import Tensor

from wan.sampling.carried import Carries, Tree
from wan.sampling.plan import Plan, Step
from wan.sampling.schedule import FITTED

FrameMap = Callable[[Tensor], Tensor]


class Solver(Protocol):
    """What the loop needs of a solver; one object serves one run."""

    def step(self, latents: Tensor, velocity: Tensor, step: Step, delta: Tensor | None = None) -> Tensor:
        """Latents (B, C, F, h, w) at ``step.sigma_next`` from latents, guided velocity and, where the step measured it,
        the CFG difference D at ``step.sigma``."""

    def denoised(self) -> Tensor:
        """x0 (B, C, F, h, w) as estimated at the last step: x - sigma v."""

    def map_frames(self, frame_map: FrameMap) -> None:
        """Send every remembered tensor through ``frame_map``: the run continues as if it always had those frames."""

    def restart(self) -> None:
        """Forget the history; the next step is of first order, at the same place of the schedule."""

    def state(self) -> Tree:
        """History and place in the schedule."""

    def restore(self, state: Tree) -> None:
        """Go on, in a fresh solver of the same plan, from another one's ``state``."""


class MultistepSolver:
    """A diffusers multistep scheduler on the plan's sigmas, counted by index because timesteps may repeat.

    ``remembers`` names what the scheduler changes from step to step.
    """

    remembers: tuple[str, ...] = ("model_outputs", "lower_order_nums", "_step_index")

    def __init__(self, scheduler: Any, plan: Plan) -> None:
        scheduler.set_timesteps(len(plan.steps))
        scheduler.sigmas = torch.from_numpy(np.array(plan.sigmas, dtype=np.float32))
        scheduler.timesteps = torch.tensor(plan.timesteps, dtype=torch.int64)
        scheduler.set_begin_index(0)
        self._scheduler = scheduler

    def step(self, latents: Tensor, velocity: Tensor, step: Step, delta: Tensor | None = None) -> Tensor:
        if step.restarts:
            self.restart()
        return self._scheduler.step(velocity, step.timestep, latents, return_dict=False)[0]

    def denoised(self) -> Tensor:
        return self._scheduler.model_outputs[-1]

    def map_frames(self, frame_map: FrameMap) -> None:
        outputs = self._scheduler.model_outputs
        self._scheduler.model_outputs = [None if output is None else frame_map(output) for output in outputs]

    def restart(self) -> None:
        self._scheduler.lower_order_nums = 0

    def state(self) -> Tree:
        return {name: getattr(self._scheduler, name) for name in self.remembers}

    def restore(self, state: Tree) -> None:
        for name in self.remembers:
            setattr(self._scheduler, name, state[name])


class UniPC(MultistepSolver):
    """UniPC of order 2; its corrector recomputes x from ``last_sample``, which therefore follows every frame change."""

    remembers = (*MultistepSolver.remembers, "timestep_list", "last_sample", "this_order")

    def __init__(self, plan: Plan) -> None:
        scheduler = UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=plan.shift
        )
        super().__init__(scheduler, plan)
        # diffusers counts the step whose result the corrector corrects, one before the step that corrects it
        scheduler.disable_corrector = [place - 1 for place, step in enumerate(plan.steps) if not step.corrects]

    def map_frames(self, frame_map: FrameMap) -> None:
        super().map_frames(frame_map)
        last = self._scheduler.last_sample
        self._scheduler.last_sample = None if last is None else frame_map(last)

    def restart(self) -> None:
        super().restart()
        self._scheduler.last_sample = None


class DPMPlusPlus(MultistepSolver):
    """DPM-Solver++ (2M, midpoint)."""

    def __init__(self, plan: Plan) -> None:
        scheduler = DPMSolverMultistepScheduler(
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=plan.shift,
            algorithm_type="dpmsolver++",
            solver_order=2,
        )
        super().__init__(scheduler, plan)


class Euler(Carries):
    """x + (sigma_next - sigma) v: what a model that was distilled to a few steps was trained with.

    It has no history; the last denoised estimate is kept for those who ask for it.
    """

    carries = ("_denoised",)

    def __init__(self, plan: Plan) -> None:
        self._denoised: Tensor | None = None

    def step(self, latents: Tensor, velocity: Tensor, step: Step, delta: Tensor | None = None) -> Tensor:
        self._denoised = latents - step.sigma * velocity
        return latents + (step.sigma_next - step.sigma) * velocity

    def denoised(self) -> Tensor:
        assert self._denoised is not None, "no step was made yet"
        return self._denoised

    def map_frames(self, frame_map: FrameMap) -> None:
        self._denoised = None if self._denoised is None else frame_map(self._denoised)

    def restart(self) -> None:
        pass


class LinearMultistep(Carries):
    """Executes fitted steps: every one combines the run's noise and all denoised estimates so far, with the weights of
    its ``LinearUpdate``.

    It remembers two tensors of the latent's shape for each step of the run.
    """

    carries = ("_noise", "_denoised", "_differences")

    def __init__(self, plan: Plan) -> None:
        self._noise: Tensor | None = None
        self._denoised: list[Tensor] = []
        self._differences: list[Tensor] = []

    def step(self, latents: Tensor, velocity: Tensor, step: Step, delta: Tensor | None = None) -> Tensor:
        update = step.update
        assert update is not None, f"step {step.index + 1} of a fitted plan has no weights"
        if self._noise is None:
            self._noise = latents
        self._denoised.append(latents - step.sigma * velocity)
        self._differences.append(torch.zeros_like(latents) if delta is None else step.sigma * delta)
        known = [*self._denoised, *self._differences]
        weights = [*update.denoised, *update.differences]
        return sum((w * one for w, one in zip(weights, known, strict=True)), start=update.noise * self._noise)

    def denoised(self) -> Tensor:
        return self._denoised[-1]

    def map_frames(self, frame_map: FrameMap) -> None:
        assert self._noise is not None
        self._noise = frame_map(self._noise)
        self._denoised = [frame_map(one) for one in self._denoised]
        self._differences = [frame_map(one) for one in self._differences]

    def restart(self) -> None:
        raise NotImplementedError("fitted weights belong to a whole history; complete frames with 'repeat'")


SOLVERS: Mapping[str, Callable[[Plan], Solver]] = {
    "unipc": UniPC,
    "dpm++": DPMPlusPlus,
    "euler": Euler,
    FITTED: LinearMultistep,
}


def make_solver(plan: Plan) -> Solver:
    """A fresh solver at the start of the plan."""
    return SOLVERS[plan.solver](plan)
