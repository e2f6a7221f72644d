"""Samples the exported pipeline's parts in batches, on the official UniPC grid with full classifier-free guidance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline

LATENT_SHAPE = (16, 13, 8, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingSettings:
    """How a clip is sampled."""

    steps: int = 20
    shift: float = 12.0
    guidance_low_noise: float = 3.0
    guidance_high_noise: float = 4.0
    batch: int = 16


@torch.no_grad()
def sample_clips(
    pipeline: WanPipeline, prompts: list[str], seeds: list[int], *, settings: SamplingSettings
) -> torch.Tensor:
    """One clip per prompt and seed: (N, 3, 49, 64, 64) in [0, 1]."""
    parts = []
    for start in range(0, len(prompts), settings.batch):
        chosen = slice(start, start + settings.batch)
        latents = _denoise(pipeline, prompts[chosen], seeds[chosen], settings)
        parts.append(_decode(pipeline, latents))
    return torch.cat(parts)


def official_scheduler(*, steps: int, shift: float) -> UniPCMultistepScheduler:
    """UniPC on the grid s g / (1 + (s - 1) g), g = linspace(0.999, 0, steps + 1) without its end."""
    scheduler = UniPCMultistepScheduler(
        num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(sigmas=np.linspace(float(np.float32(0.999)), 0.0, steps + 1)[:-1])
    scheduler.set_begin_index(0)
    return scheduler


def _denoise(pipeline: WanPipeline, prompts: list[str], seeds: list[int], settings: SamplingSettings) -> torch.Tensor:
    """Normalised latents (B, 16, 13, 8, 8)."""
    device = pipeline.transformer.device
    scheduler = official_scheduler(steps=settings.steps, shift=settings.shift)
    conditional, empty = pipeline.encode_prompt(prompts, "", max_sequence_length=512, device=device)
    latents = torch.stack([torch.randn(LATENT_SHAPE, generator=torch.Generator().manual_seed(s)) for s in seeds])
    latents = latents.to(device)
    boundary = pipeline.config.boundary_ratio * scheduler.config.num_train_timesteps
    for timestep in scheduler.timesteps:
        high = timestep >= boundary
        model = pipeline.transformer if high else pipeline.transformer_2
        scale = settings.guidance_high_noise if high else settings.guidance_low_noise
        at = timestep.expand(len(prompts)).to(device)
        velocity = model(latents, at, conditional, return_dict=False)[0]
        if scale != 1.0:
            unconditional = model(latents, at, empty, return_dict=False)[0]
            velocity = unconditional + scale * (velocity - unconditional)
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
    return latents


def _decode(pipeline: WanPipeline, latents: torch.Tensor) -> torch.Tensor:
    """Video (B, 3, 49, 64, 64) in [0, 1] on the CPU."""
    config = pipeline.vae.config
    mean, std = (
        torch.tensor(part).reshape(1, -1, 1, 1, 1).to(latents) for part in (config.latents_mean, config.latents_std)
    )
    return (pipeline.vae.decode(latents * std + mean, return_dict=False)[0] / 2 + 0.5).clamp(0, 1).cpu()
