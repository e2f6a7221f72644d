"""The image encoder on images of any size, in half precision, and what may be given as an image."""

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModel

from wan.errors import InvalidInput
from wan.models.image_encoder import ImageEncoder
from wan.models.images import checked, covered, to_pixels

CONFIG = CLIPVisionConfig(
    hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=1, image_size=28, patch_size=14
)


@pytest.mark.parametrize("size", [(28, 28), (50, 20), (7, 90)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_features_of_any_image(size: tuple[int, int], dtype: torch.dtype) -> None:
    encoder = ImageEncoder(model=CLIPVisionModel(CONFIG).to(dtype).eval())
    features = encoder.encode(to_pixels(Image.new("RGB", size, "red")))
    assert features.shape == (1, 5, 16) and features.dtype == dtype


def test_pixels_run_from_minus_one_to_one() -> None:
    assert to_pixels(Image.new("RGB", (2, 3), "black")).unique().tolist() == [-1.0]
    assert to_pixels(Image.new("L", (2, 3), "white")).unique().tolist() == [1.0]
    assert to_pixels(Image.new("RGB", (2, 3))).shape == (3, 3, 2)


@pytest.mark.parametrize("size", [(64, 32), (31, 97), (640, 480)])
def test_a_covered_image_has_the_videos_size(size: tuple[int, int]) -> None:
    assert covered(Image.new("RGB", size), height=64, width=96).size == (96, 64)


def test_an_image_must_be_one() -> None:
    with pytest.raises(InvalidInput, match=r"img is a str and must be a PIL image"):
        checked("boat.png", print)
