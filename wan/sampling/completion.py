"""Frames that leave and come back: the kept ones on entering a stage with fewer, all of them on entering one with more.

A completion rewrites the latents and the solver's history and is differentiable. ``sources[f]`` is the kept frame that
completed frame f stands behind: 0, 0, 1, 1, ..., n-1; the even positions are the kept frames themselves.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from wan.sampling.geometry import completed_sources, kept_frames
from wan.sampling.plan import Stage
from wan.sampling.state import LeftFrames, SamplerState

FRAME_AXIS = 2

Completion = Callable[[SamplerState, Stage], None]


def repeat(state: SamplerState, stage: Stage) -> None:
    """F1, F1, F2, F2, ..., Fn: every kept frame fills the position after it, noise included.

    The solver's history is repeated alike, which continues exactly as if the run had had repeated frames throughout.
    """
    sources = _sources(state, stage)

    def frame_map(frames: Tensor) -> Tensor:
        return select_frames(frames, sources)

    state.latents = frame_map(state.latents)
    state.solver.map_frames(frame_map)


def improved(state: SamplerState, stage: Stage) -> None:
    """Filled frames: x0 of the previous kept frame, re-noised with the position's own noise at the stage's sigma."""
    denoised = select_frames(state.solver.denoised(), _sources(state, stage))
    _fill(state, stage, denoised, state.noise)


def interpolate(state: SamplerState, stage: Stage) -> None:
    """Like ``improved``, with the mean of the two neighbouring kept frames' x0, frame 0 left out where possible.

    x0 is interpolated, never x_t: averaging two noisy latents would halve the noise variance.
    """
    _fill(state, stage, interpolate_frames(state.solver.denoised(), stage.latent_frames), state.noise)


def follow(state: SamplerState, stage: Stage) -> None:
    """Filled frames: their own x0 of when they were left out, moved by what the neighbours' x0 have changed since (the
    mean of both), under the noise that they had then.

    With x and x0 of a frame at the sigma at which it was left, its noise is eps = (x - (1 - sigma) x0) / sigma.
    """
    assert state.left is not None, "frames that never ran cannot be followed"
    left, denoised = state.left, state.solver.denoised()
    kept = kept_frames(stage.latent_frames, denoised.shape[FRAME_AXIS])
    moved = left.denoised + interpolate_frames(denoised - select_frames(left.denoised, kept), stage.latent_frames)
    _fill(state, stage, moved, (left.latents - (1.0 - left.sigma) * left.denoised) / left.sigma)


COMPLETIONS: Mapping[str, Completion] = {
    "repeat": repeat,
    "improved": improved,
    "interpolate": interpolate,
    "follow": follow,
}


def completion_for(name: str | None) -> Completion:
    """The completion of a plan; a plan without half-frame generation has nothing to complete and never calls it."""
    return COMPLETIONS[name or "repeat"]


def enter_stage(state: SamplerState, stage: Stage, completion: Completion) -> None:
    """Bring the state to the stage: its frames, and the CFG difference, which another expert does not inherit."""
    if state.expert is not stage.expert:
        state.expert, state.delta = stage.expert, None
    leave_out_frames(state, stage)
    complete_frames(state, stage, completion)


def leave_out_frames(state: SamplerState, stage: Stage) -> None:
    """Where the stage has fewer frames, go on with the kept ones as if the run had never had the others, and remember
    what they were."""
    frames = state.latents.shape[FRAME_AXIS]
    if frames <= stage.latent_frames:
        return
    kept = kept_frames(frames, stage.latent_frames)

    def frame_map(tensor: Tensor) -> Tensor:
        return select_frames(tensor, kept)

    state.left = LeftFrames(latents=state.latents, denoised=state.solver.denoised(), sigma=stage.sigma)
    state.latents = frame_map(state.latents)
    state.delta = None if state.delta is None else frame_map(state.delta)
    state.solver.map_frames(frame_map)


def complete_frames(state: SamplerState, stage: Stage, completion: Completion) -> None:
    """Bring the state to the stage's frame count; nothing happens when it has it already."""
    if state.latents.shape[FRAME_AXIS] != stage.latent_frames:
        completion(state, stage)
        state.delta = None if state.delta is None else interpolate_frames(state.delta, stage.latent_frames)


def select_frames(frames: Tensor, indices: list[int]) -> Tensor:
    """(B, C, F, h, w) to (B, C, len(indices), h, w), contiguous."""
    return frames.index_select(FRAME_AXIS, torch.tensor(indices, device=frames.device)).contiguous()


def interpolate_frames(frames: Tensor, count: int) -> Tensor:
    """Kept frames (B, C, F, h, w) to ``count`` frames: each filled one the mean of its two neighbours.

    Latent frame 0 stands for one pixel frame and the others for four: as a source it decodes to four wrong frames.
    """
    kept = frames.shape[FRAME_AXIS]
    after = [min((frame + 1) // 2, kept - 1) for frame in range(count)]
    sources = completed_sources(count, kept)
    before = [max(source, min(1, following)) for source, following in zip(sources, after, strict=True)]
    return (select_frames(frames, before) + select_frames(frames, after)) / 2


def _sources(state: SamplerState, stage: Stage) -> list[int]:
    return completed_sources(stage.latent_frames, state.latents.shape[FRAME_AXIS])


def _fill(state: SamplerState, stage: Stage, denoised: Tensor, noise: Tensor) -> None:
    """Kept frames stay as they are; filled ones become (1 - sigma) x0 + sigma eps. The solver restarts: its history
    belongs to trajectories that the filled frames never had."""
    renoised = (1.0 - stage.sigma) * denoised + stage.sigma * noise
    kept = select_frames(state.latents, _sources(state, stage))
    is_kept = torch.arange(stage.latent_frames, device=kept.device) % 2 == 0
    state.latents = torch.where(is_kept.view(-1, 1, 1), kept, renoised)
    state.solver.restart()
