"""CLIP features of an image, as Wan2.1 image to video conditions on them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import CLIPVisionModel

# of the images that CLIP was trained on, in [0, 1]
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class ImageEncoder:
    """A CLIP vision model; the hidden states before its last layer are the features."""

    model: CLIPVisionModel

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """An image (3, H, W) in [-1, 1] to features (1, 1 + patches, D); it is squeezed to a square, not cropped."""
        side = self.model.config.image_size
        square = interpolate(image[None], size=(side, side), mode="bicubic", align_corners=False)
        mean, std = (torch.tensor(values, device=image.device).view(3, 1, 1) for values in (_MEAN, _STD))
        pixels = ((square * 0.5 + 0.5) - mean) / std
        return self.model(pixels.to(self.model.dtype), output_hidden_states=True).hidden_states[-2]
