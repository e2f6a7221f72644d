"""diffusers' own WanPipeline on the same weights, noise, text and sigma grid: what ours is timed against."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline
from torch import Tensor

from wan.sampling.guidance import Branch
from wan.sampling.plan import Plan
from wan.sampling.protocols import Contexts
from wan.settings import SamplingSettings


class OfficialGridUniPC(UniPCMultistepScheduler):
    """diffusers' UniPC made to use the official sigma grid, so that WanPipeline samples what we sample."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **_: Any) -> None:
        grid = np.linspace(float(np.float32(0.999)), 0.0, num_inference_steps + 1)[:-1]
        super().set_timesteps(device=device, sigmas=grid)


class Reference:
    """WanPipeline of a diffusers-layout checkpoint."""

    def __init__(
        self, checkpoint: Path, settings: SamplingSettings, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        # the text is encoded once, by ours
        pipeline = WanPipeline.from_pretrained(checkpoint, text_encoder=None, tokenizer=None, dtype=dtype)
        pipeline.scheduler = OfficialGridUniPC(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=settings.shift
        )
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)
        self._settings = settings
        self._device = device

    def sample(self, plan: Plan, contexts: Contexts, *, seed: int) -> Tensor:
        """Latents (C, F, h, w) of the plain plan for the noise that ``Pipeline.sample`` draws."""
        settings = self._settings
        generator = torch.Generator(device=self._device).manual_seed(seed)
        noise = torch.randn(plan.geometry.latent_shape(), generator=generator, device=self._device)
        two_experts = settings.boundary is not None
        latents = self._pipeline(
            prompt_embeds=contexts[Branch.COND],
            negative_prompt_embeds=contexts[Branch.UNCOND],
            height=plan.geometry.height,
            width=plan.geometry.width,
            num_frames=plan.geometry.pixel_frames,
            num_inference_steps=len(plan.steps),
            guidance_scale=settings.high_noise_guidance_scale,
            guidance_scale_2=settings.low_noise_guidance_scale if two_experts else None,
            latents=noise[None],
            output_type="latent",
            return_dict=False,
        )[0]
        return latents[0]
