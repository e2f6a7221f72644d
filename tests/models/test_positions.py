"""Temporal positions of latent frames: diffusers' own tables at stride 1, every second row of them at stride 2."""

import pytest
import torch
from diffusers import WanTransformer3DModel

from tests.goldens import denoiser
from wan.models.positions import spaced_frames


@pytest.fixture(scope="module")
def model() -> WanTransformer3DModel:
    return denoiser("t2v-A14B_high")


def latents(frames: int) -> torch.Tensor:
    return torch.randn(1, 16, frames, 4, 6, generator=torch.Generator().manual_seed(0))


def test_stride_two_gives_every_second_frame_its_own_place(model: WanTransformer3DModel) -> None:
    full = [table.unflatten(1, (13, -1)) for table in model.rope(latents(13))]
    with spaced_frames(model, 2):
        half = [table.unflatten(1, (7, -1)) for table in model.rope(latents(7))]
    for table, expected in zip(half, full, strict=True):
        assert torch.equal(table, expected[:, ::2])


def test_stride_one_changes_nothing_and_the_model_is_as_before_afterwards(model: WanTransformer3DModel) -> None:
    inputs = {
        "hidden_states": latents(3),
        "timestep": torch.tensor([900]),
        "encoder_hidden_states": torch.randn(1, 8, model.config.text_dim, generator=torch.Generator().manual_seed(1)),
        "return_dict": False,
    }
    rope, names = model.rope, set(model.state_dict())
    with torch.no_grad():
        (plain,) = model(**inputs)
        with spaced_frames(model, 1):
            (same,) = model(**inputs)
        with pytest.raises(RuntimeError, match="stop"), spaced_frames(model, 2):
            (other,) = model(**inputs)
            raise RuntimeError("stop")
        (after,) = model(**inputs)
    assert torch.equal(plain, same) and torch.equal(plain, after) and not torch.allclose(plain, other, atol=1e-5)
    assert model.rope is rope and set(model.state_dict()) == names
