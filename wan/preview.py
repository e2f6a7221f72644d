"""A preview while sampling: the estimate x0 of the finished video as a small animated picture, by a linear map.

Every pixel of it is one latent position, coloured without the VAE. A step waits only until the colours are computed and
copied; a thread writes the file while the next step runs. It changes no number of the run.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wan.preview_colours import PreviewColours
from wan.runs.beside import WriterBeside
from wan.runs.preview_file import write_preview
from wan.sampling.geometry import kept_frames
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan


class Preview(Observer):
    """Puts the newest preview on disk after every ``every``-th step, in place of the one before; ``close`` it.

    When the last one is not written yet the step goes without: a preview never makes a run wait for a disk. A disk that
    takes none is said once.
    """

    def __init__(
        self,
        path: Path,
        *,
        plan: Plan,
        colours: PreviewColours,
        fps: int,
        every: int,
        warn: Callable[[str], None],
    ) -> None:
        self.path = path
        self._plan = plan
        self._colours = colours
        self._fps = fps
        self._every = every
        self._writer = WriterBeside("preview", said=self._cannot_be_written, warn=warn)

    def on_step_end(self, event: StepEvent) -> None:
        if (event.step.index + 1) % self._every or self._writer.is_busy:
            return
        frames = preview_frames(event.state.solver.denoised()[0], self._colours)
        times = frame_milliseconds(self._plan, latent_frames=len(frames), fps=self._fps)
        self._writer.write(partial(write_preview, self.path, frames, milliseconds=times))

    def close(self) -> None:
        """Wait, and end the thread."""
        self._writer.close()

    def _cannot_be_written(self, error: OSError) -> str:
        return f"the preview {self.path} cannot be written ({error.strerror or error}); the run goes on"


@torch.no_grad()
def preview_frames(denoised: Tensor, colours: PreviewColours) -> np.ndarray:
    """An estimate x0 (C, F, h, w) as frames (F, h, w, 3) uint8, computed where the latents are."""
    weights = torch.tensor(colours.weights, device=denoised.device)
    bias = torch.tensor(colours.bias, device=denoised.device)[:, None]
    rgb = torch.addmm(bias, weights, denoised.float().flatten(1))  # (3, F * h * w)
    bytes_of = ((rgb.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8).cpu()
    return bytes_of.unflatten(1, denoised.shape[1:]).permute(1, 2, 3, 0).contiguous().numpy()


def frame_milliseconds(plan: Plan, *, latent_frames: int, fps: int) -> Sequence[int]:
    """How long each frame is shown so that the preview lasts as long as the video, also when half-frame generation has
    left out every second one."""
    geometry = plan.geometry
    stride = geometry.vae_stride[0]
    kept = kept_frames(geometry.latent_frames, latent_frames)
    # the first latent frame stands for one pixel frame, each other one for as many as the stride
    starts = [max(0, stride * (index - 1) + 1) for index in kept]
    ends = [*starts[1:], geometry.pixel_frames]
    return [round(1000 * (end - start) / fps) for start, end in zip(starts, ends, strict=True)]
