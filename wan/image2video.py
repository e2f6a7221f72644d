"""WanI2V: image to video, with the official constructor and ``generate``."""

import functools
from collections.abc import Sequence
from typing import Unpack

import torch
from PIL import Image
from torch import Tensor

from wan.conditioned import Conditioning
from wan.errors import InvalidInput
from wan.models.denoiser import BindNetwork, ImageConditioned, TextConditioned
from wan.models.images import checked, stretched, to_pixels
from wan.pipeline import Pipeline
from wan.pipeline_checks import warn
from wan.sampling.conditioning import ImageChannels, image_channels
from wan.sampling.geometry import Geometry
from wan.sampling.image_size import image_geometry
from wan.sampling.observers import Observer
from wan.shortcuts import ShortcutArgs


class WanI2V(Pipeline):
    """Image to video: Wan2.2 i2v-A14B, and Wan2.1 i2v-14B with CLIP features."""

    entry = "WanI2V"

    def condition(self, image: Image.Image | None, geometry: Geometry) -> Conditioning:
        """The image as the first of otherwise grey frames, encoded; with CLIP features where the task has them."""
        if image is None:
            raise InvalidInput(f"{self.config.name} makes a video from an image; give one (--image FILE)")
        pixels = to_pixels(image)
        first = stretched(pixels, height=geometry.height, width=geometry.width)
        grey = torch.zeros(3, geometry.pixel_frames - 1, geometry.height, geometry.width)
        latents = self._encode_video(torch.cat([first[:, None], grey], dim=1))
        channels = image_channels(latents, temporal_stride=geometry.vae_stride[0])
        return Conditioning(latent_input=ImageChannels(channels[None]), bind=self._bind(pixels))

    def generate(
        self,
        input_prompt: str,
        img: Image.Image,
        max_area: int = 720 * 1280,
        frame_num: int = 81,
        shift: float = 5.0,
        sample_solver: str = "unipc",
        sampling_steps: int = 40,
        guide_scale: float | tuple[float, float] = 5.0,
        n_prompt: str = "",
        seed: int = -1,
        offload_model: bool = True,
        *,
        observers: Sequence[Observer] = (),
        **shortcuts: Unpack[ShortcutArgs],
    ) -> Tensor:
        """A video (3, N, H, W) in [-1, 1] of ``max_area`` pixels in the image's aspect; otherwise as ``WanT2V``."""
        image = checked(img, warn)
        return self._make(
            input_prompt,
            n_prompt,
            geometry=image_geometry(self.config, image_size=image.size, max_area=max_area, frame_num=frame_num),
            solver=sample_solver,
            steps=sampling_steps,
            shift=shift,
            guide_scale=guide_scale,
            shortcuts=shortcuts,
            image=image,
            seed=seed,
            offload_model=offload_model,
            observers=observers,
        )

    def _bind(self, pixels: Tensor) -> BindNetwork:
        if not self.config.has_image_encoder:
            return TextConditioned
        return functools.partial(ImageConditioned, features=self._encode_image(pixels))
