"""Frame completion: from the kept latent frames to all of them, on entering the stage that works on all of them.

Every method rewrites the whole ``SamplerState`` and is differentiable. ``sources[f]`` is the kept frame that completed
frame f stands behind: 0, 0, 1, 1, ..., n-1; the even positions are the kept frames themselves.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from wan.sampling.geometry import completed_sources
from wan.sampling.plan import Stage
from wan.sampling.state import SamplerState

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
    _fill(state, stage, denoised)


def interpolate(state: SamplerState, stage: Stage) -> None:
    """Like ``improved``, with the mean of the two neighbouring kept frames' x0, frame 0 left out where possible.

    Latent frame 0 stands for one pixel frame and the others for four: as a source it decodes to four wrong frames.
    x0 is interpolated, never x_t: averaging two noisy latents would halve the noise variance.
    """
    denoised = state.solver.denoised()
    last = denoised.shape[FRAME_AXIS] - 1
    after = [min((frame + 1) // 2, last) for frame in range(stage.latent_frames)]
    before = [max(source, min(1, following)) for source, following in zip(_sources(state, stage), after, strict=True)]
    _fill(state, stage, (select_frames(denoised, before) + select_frames(denoised, after)) / 2)


COMPLETIONS: Mapping[str, Completion] = {"repeat": repeat, "improved": improved, "interpolate": interpolate}


def completion_for(name: str | None) -> Completion:
    """The completion of a plan; a plan without half-frame generation has nothing to complete and never calls it."""
    return COMPLETIONS[name or "repeat"]


def complete_frames(state: SamplerState, stage: Stage, completion: Completion) -> None:
    """Bring the state to the stage's frame count; nothing happens when it has it already."""
    if state.latents.shape[FRAME_AXIS] != stage.latent_frames:
        completion(state, stage)


def select_frames(frames: Tensor, indices: list[int]) -> Tensor:
    """(B, C, F, h, w) to (B, C, len(indices), h, w), contiguous."""
    return frames.index_select(FRAME_AXIS, torch.tensor(indices, device=frames.device)).contiguous()


def _sources(state: SamplerState, stage: Stage) -> list[int]:
    return completed_sources(stage.latent_frames, state.latents.shape[FRAME_AXIS])


def _fill(state: SamplerState, stage: Stage, denoised: Tensor) -> None:
    """Kept frames stay as they are; filled ones become (1 - sigma) x0 + sigma eps. The solver restarts: its history
    belongs to trajectories that the filled frames never had."""
    renoised = (1.0 - stage.sigma) * denoised + stage.sigma * state.noise
    kept = select_frames(state.latents, _sources(state, stage))
    is_kept = torch.arange(stage.latent_frames, device=kept.device) % 2 == 0
    state.latents = torch.where(is_kept.view(-1, 1, 1), kept, renoised)
    state.solver.restart()
