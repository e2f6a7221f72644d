"""Conditioning beyond text: what joins the denoiser's input, and what is pinned in the latents after every step."""

from typing import Protocol

import torch
from torch import Tensor


class Conditioning(Protocol):
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
