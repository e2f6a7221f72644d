"""WanTI2V: text, or text and an image, to video, with the official constructor and ``generate``."""

from collections.abc import Sequence
from typing import Unpack

from PIL import Image
from torch import Tensor

from wan.conditioned import TEXT_ONLY, Conditioning
from wan.models.images import checked, covered, to_pixels
from wan.pipeline import Pipeline
from wan.pipeline_checks import warn
from wan.sampling.conditioning import FirstFrame
from wan.sampling.geometry import Geometry, geometry_for
from wan.sampling.image_size import image_geometry
from wan.sampling.observers import Observer
from wan.shortcuts import ShortcutArgs


class WanTI2V(Pipeline):
    """Text and image to video: Wan2.2 ti2v-5B. It has one expert, so half-frame generation is refused."""

    entry = "WanTI2V"

    def condition(self, image: Image.Image | None, geometry: Geometry) -> Conditioning:
        """The image's latents as latent frame 0; nothing without an image."""
        if image is None:
            return TEXT_ONLY
        pixels = to_pixels(covered(image, height=geometry.height, width=geometry.width))
        latents = self._encode_video(pixels[:, None])
        return Conditioning(latent_input=FirstFrame(latents[None], patch_size=geometry.patch_size))

    def generate(
        self,
        input_prompt: str,
        img: Image.Image | None = None,
        size: tuple[int, int] = (1280, 704),
        max_area: int = 704 * 1280,
        frame_num: int = 81,
        shift: float = 5.0,
        sample_solver: str = "unipc",
        sampling_steps: int = 50,
        guide_scale: float | tuple[float, float] = 5.0,
        n_prompt: str = "",
        seed: int = -1,
        offload_model: bool = True,
        *,
        observers: Sequence[Observer] = (),
        **shortcuts: Unpack[ShortcutArgs],
    ) -> Tensor:
        """A video (3, N, H, W) in [-1, 1], of ``size`` from text alone, of ``max_area`` pixels from an image."""
        image = None if img is None else checked(img, warn)
        return self._make(
            input_prompt,
            n_prompt,
            geometry=self._geometry(image, size=size, max_area=max_area, frame_num=frame_num),
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

    def _geometry(self, image: Image.Image | None, *, size: tuple[int, int], max_area: int, frame_num: int) -> Geometry:
        if image is None:
            return geometry_for(self.config, size=size, frame_num=frame_num)
        return image_geometry(self.config, image_size=image.size, max_area=max_area, frame_num=frame_num)
