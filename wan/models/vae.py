"""The video VAE: pixels to normalised latents and back, one video at a time, in float32."""

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor


@dataclass(frozen=True, slots=True)
class VideoVAE:
    """diffusers' AutoencoderKLWan; latents are normalised per channel: (mu - mean) / std."""

    model: AutoencoderKLWan

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents (C, F, h, w) to a video (3, N, H, W) in [-1, 1], N = 4 (F - 1) + 1."""
        mean, std = self._statistics(latents.device)
        latents = latents.float() * std + mean
        return self.model.decode(latents[None].to(self.model.dtype), return_dict=False)[0][0].float()

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
