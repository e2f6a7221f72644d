"""WanI2V: image to video, with the official constructor and ``generate``."""

import functools
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from wan.errors import InvalidInput
from wan.models.denoiser import BindNetwork, ImageConditioned, TextConditioned
from wan.models.images import checked, stretched, to_pixels
from wan.pipeline import Conditioning, Pipeline
from wan.sampling.conditioning import ImageChannels, image_channels
from wan.sampling.geometry import Geometry
from wan.sampling.image_size import image_geometry
from wan.sampling.observers import Observer
from wan.settings import DEFAULT_TRUNCATION_MODE, settings_from


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
        cfg_truncate_steps: int = 0,
        cfg_truncate_high_noise_steps: int = 0,
        cfg_truncate_mode: str = DEFAULT_TRUNCATION_MODE,
        enable_half_frame_generation: bool = False,
        enable_improved_frame_completion: bool = False,
        frame_completion: str | None = None,
        frame_positions: str | None = None,
        observers: Sequence[Observer] = (),
    ) -> Tensor:
        """A video (3, N, H, W) in [-1, 1] of ``max_area`` pixels in the image's aspect; otherwise as ``WanT2V``."""
        settings = settings_from(
            self.config,
            sample_solver=sample_solver,
            sampling_steps=sampling_steps,
            shift=shift,
            guide_scale=guide_scale,
            cfg_truncate_steps=cfg_truncate_steps,
            cfg_truncate_high_noise_steps=cfg_truncate_high_noise_steps,
            cfg_truncate_mode=cfg_truncate_mode,
            enable_half_frame_generation=enable_half_frame_generation,
            enable_improved_frame_completion=enable_improved_frame_completion,
            frame_completion=frame_completion,
            frame_positions=frame_positions,
        )
        return self._make(
            input_prompt,
            n_prompt,
            geometry=image_geometry(self.config, image_size=checked(img).size, max_area=max_area, frame_num=frame_num),
            settings=settings,
            image=img,
            seed=seed,
            offload_model=offload_model,
            observers=observers,
        )

    def _bind(self, pixels: Tensor) -> BindNetwork:
        if not self.config.has_image_encoder:
            return TextConditioned
        return functools.partial(ImageConditioned, features=self._encode_image(pixels))
