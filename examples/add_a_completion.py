"""Extending: another way to complete the frames of half-frame generation at the expert switch.

    python examples/add_a_completion.py

``following`` gives a missing frame the denoised estimate of the kept frame after it (``improved`` takes the one
before), under the noise that its position has had since the run began.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from wan.conditioned import TEXT_ONLY
from wan.job import prepare
from wan.request import Request
from wan.sampling.completion import FRAME_AXIS, select_frames
from wan.sampling.plan import Stage
from wan.sampling.state import SamplerState
from wan.session import Session
from wan.shortcuts import Shortcuts


def following(state: SamplerState, stage: Stage) -> None:
    """Rewrite the whole state: latents (B, C, F, h, w) for all frames of the stage, and the solver's history."""
    kept = state.latents.shape[FRAME_AXIS]
    after = [min((frame + 1) // 2, kept - 1) for frame in range(stage.latent_frames)]
    before = [frame // 2 for frame in range(stage.latent_frames)]
    denoised = select_frames(state.solver.denoised(), after)
    renoised = (1.0 - stage.sigma) * denoised + stage.sigma * state.noise
    is_kept = (torch.arange(stage.latent_frames) % 2 == 0).view(-1, 1, 1)
    state.latents = torch.where(is_kept, select_frames(state.latents, before), renoised)
    state.solver.restart()  # its history belongs to frames that were not there


def main() -> None:
    shortcuts = Shortcuts(frame_completion="improved", frame_positions="spread")
    job = prepare(
        Request(task="t2v-demo", prompt="a blue square moving up on a yellow background", shortcuts=shortcuts)
    )
    session = Session(job, show_progress=False)
    contexts = session.contexts(job.prompt)
    for name, completion in {"improved": None, "following": following}.items():
        latents = session.pipeline.sample(job.plan, contexts, seed=0, conditioning=TEXT_ONLY, completion=completion)
        change = latents.diff(dim=1).square().mean()
        print(f"{name}: mean squared difference of neighbouring latent frames {change:.4f}")


if __name__ == "__main__":
    main()
