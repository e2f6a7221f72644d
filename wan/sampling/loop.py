"""The sampling loop: executes a plan. What happens in a step was decided before it; nothing is decided here."""

from collections.abc import Sequence

from torch import Tensor

from wan.sampling.completion import Completion, enter_stage, select_frames
from wan.sampling.conditioning import LatentInput
from wan.sampling.geometry import kept_frames
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan, Stage
from wan.sampling.protocols import Contexts, Denoiser, Experts
from wan.sampling.solvers import Solver
from wan.sampling.state import SamplerState


def begin(plan: Plan, *, noise: Tensor, solver: Solver, latent_input: LatentInput) -> SamplerState:
    """The state before the first step, from ``noise`` (B, C, L, h, w), drawn for ALL latent frames."""
    first = kept_frames(plan.geometry.latent_frames, plan.stages[0].latent_frames)
    latents = latent_input.pin(select_frames(noise, first), first)
    return SamplerState(latents=latents, noise=noise, solver=solver)


def sample(
    plan: Plan,
    state: SamplerState,
    *,
    contexts: Contexts,
    experts: Experts,
    latent_input: LatentInput,
    completion: Completion,
    observers: Sequence[Observer] = (),
) -> Tensor:
    """Execute the steps of a plan on ``state``; the latents (B, C, L, h, w) after the last one."""
    for stage in plan.stages:
        for observer in observers:
            observer.on_stage_start(stage)
        enter_stage(state, stage, completion)
        frames = kept_frames(plan.geometry.latent_frames, stage.latent_frames)
        with experts.resident(stage) as denoiser:
            for observer in observers:
                observer.on_stage_ready(stage)
            _run_stage(stage, state, frames, contexts, denoiser, latent_input, observers)
    return state.latents


def _run_stage(
    stage: Stage,
    state: SamplerState,
    frames: list[int],
    contexts: Contexts,
    denoiser: Denoiser,
    latent_input: LatentInput,
    observers: Sequence[Observer],
) -> None:
    for step in stage.steps:
        latents = state.latents
        hidden_states, timestep = latent_input.model_input(latents, step.timestep, frames)
        velocities = denoiser.predict(step, hidden_states, timestep, {b: contexts[b] for b in step.branches})
        velocity, state.delta = step.guidance.combine(velocities, state.delta)
        state.latents = latent_input.pin(state.solver.step(latents, velocity, step, state.delta), frames)
        event = StepEvent(
            step=step,
            latents_in=latents,
            latents_out=state.latents,
            state=state,
            velocities=velocities,
            velocity=velocity,
            hidden_states=hidden_states,
            timestep=timestep,
            denoiser=denoiser,
            contexts=contexts,
        )
        for observer in observers:
            observer.on_step_end(event)
