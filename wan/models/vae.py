"""The video VAE: pixels to normalised latents and back, one video at a time, in float32."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from wan.models.frame_decoder import decoded_frames


@dataclass(frozen=True, slots=True)
class VideoVAE:
    """diffusers' AutoencoderKLWan; latents are normalised per channel: (mu - mean) / std."""

    model: AutoencoderKLWan

    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (C, F, h, w) to a video (3, N, H, W) in [-1, 1], N = 4 (F - 1) + 1."""
        return torch.cat(list(self.frames(latents)), dim=1)

    @torch.no_grad()
    def frames(self, latents: Tensor) -> Iterator[Tensor]:
        """The same piece by piece: (3, 1, H, W) of the first latent frame, (3, 4, H, W) of every other."""
        mean, std = self._statistics(latents.device)
        latents = latents.float() * std + mean
        for piece in decoded_frames(self.model, latents[None].to(self.model.dtype)):
            yield piece[0].float()

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """A video (3, N, H, W) in [-1, 1] to the normalised mean of its latents (C, F, h, w)."""
        mean, std = self._statistics(video.device)
        posterior = self.model.encode(video[None].to(self.model.dtype)).latent_dist
        return (posterior.mode()[0].float() - mean) / std

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        config = self.model.config
        mean = torch.tensor(config.latents_mean, device=device).view(-1, 1, 1, 1)
        std = torch.tensor(config.latents_std, device=device).view(-1, 1, 1, 1)
        return mean, std
