"""Image conditioning: extra input channels, or a fixed first frame; text alone needs neither."""

from typing import Protocol

import torch
from torch import Tensor

from wan.sampling.completion import FRAME_AXIS, select_frames


class LatentInput(Protocol):
    """How a task feeds its denoiser. ``frames`` are the indices of the latent frames present among all of the run's."""

    def model_input(self, latents: Tensor, timestep: int, frames: list[int]) -> tuple[Tensor, Tensor]:
        """(hidden states, timestep tensor) for latents (B, C, F, h, w)."""

    def pin(self, latents: Tensor, frames: list[int]) -> Tensor:
        """Latents with what the condition fixes put back (an image's latent frame); the same tensor if nothing is."""


class TextOnly:
    """Text to video: the latents go in as they are, with one timestep per sample."""

    def model_input(self, latents: Tensor, timestep: int, frames: list[int]) -> tuple[Tensor, Tensor]:
        return latents, torch.full((latents.shape[0],), timestep, dtype=torch.int64, device=latents.device)

    def pin(self, latents: Tensor, frames: list[int]) -> Tensor:
        return latents


class ImageChannels(TextOnly):
    """Image to video by channels: a mask and the image's latents, for ALL latent frames, join the noisy latents."""

    def __init__(self, channels: Tensor) -> None:
        """``channels`` (1 or B, 4 + C, L, h, w), see ``image_channels``."""
        self._channels = channels

    def model_input(self, latents: Tensor, timestep: int, frames: list[int]) -> tuple[Tensor, Tensor]:
        hidden_states, timesteps = super().model_input(latents, timestep, frames)
        channels = select_frames(self._channels, frames).expand(latents.shape[0], -1, -1, -1, -1)
        return torch.cat([hidden_states, channels], dim=1), timesteps


class FirstFrame:
    """Image to video by a fixed frame: latent frame 0 is the image's, at timestep 0; every token has its timestep."""

    def __init__(self, image_latents: Tensor, *, patch_size: tuple[int, int, int]) -> None:
        """``image_latents`` (1 or B, C, 1, h, w)."""
        self._image_latents = image_latents
        self._patch_size = patch_size

    def model_input(self, latents: Tensor, timestep: int, frames: list[int]) -> tuple[Tensor, Tensor]:
        _, rows, columns = self._patch_size
        tokens = (latents.shape[-2] // rows) * (latents.shape[-1] // columns)
        per_frame = torch.tensor([timestep if frame else 0 for frame in frames], device=latents.device)
        return latents, per_frame.repeat_interleave(tokens).expand(latents.shape[0], -1)

    def pin(self, latents: Tensor, frames: list[int]) -> Tensor:
        assert frames[0] == 0, "half-frame generation keeps latent frame 0"
        first = self._image_latents.expand(latents.shape[0], -1, -1, -1, -1)
        return torch.cat([first, latents[:, :, 1:]], dim=FRAME_AXIS)


def image_channels(image_latents: Tensor, *, temporal_stride: int) -> Tensor:
    """Latents (C, L, h, w) of a video of the image and L-1 grey frames, under one mask channel per pixel frame of a
    latent frame: (4 + C, L, h, w). The mask is 1 where the image is given, which is latent frame 0."""
    mask = torch.zeros_like(image_latents[:1]).repeat(temporal_stride, 1, 1, 1)
    mask[:, 0] = 1.0
    return torch.cat([mask, image_latents])
