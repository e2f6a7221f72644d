"""What each conditioning feeds the denoiser and pins in the latents, on all frames and on half of them."""

import pytest
import torch

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.sampling.conditioning import FirstFrame, ImageChannels, TextOnly, image_channels
from wan.sampling.image_size import image_geometry

LATENTS = torch.randn(1, 16, 5, 4, 6, generator=torch.Generator().manual_seed(0))
ALL = [0, 1, 2, 3, 4]


def test_text_alone_changes_nothing() -> None:
    hidden_states, timestep = TextOnly().model_input(LATENTS, 7, ALL)
    assert hidden_states is LATENTS and timestep.tolist() == [7]
    assert TextOnly().pin(LATENTS, ALL) is LATENTS


def test_the_mask_is_one_at_latent_frame_0() -> None:
    channels = image_channels(LATENTS[0], temporal_stride=4)
    assert channels.shape == (20, 5, 4, 6)
    assert channels[:4, 0].unique().tolist() == [1.0] and channels[:4, 1:].unique().tolist() == [0.0]
    assert torch.equal(channels[4:], LATENTS[0])


@pytest.mark.parametrize("frames", [ALL, [0, 2, 4]])
def test_image_channels_follow_the_frames_that_are_there(frames: list[int]) -> None:
    channels = image_channels(2 * LATENTS[0], temporal_stride=4)[None]
    hidden_states, timestep = ImageChannels(channels).model_input(LATENTS[:, :, frames], 7, frames)
    assert torch.equal(hidden_states, torch.cat([LATENTS[:, :, frames], channels[:, :, frames]], dim=1))
    assert timestep.tolist() == [7]


def test_the_first_frame_is_clean_and_stays() -> None:
    image = torch.zeros(1, 16, 1, 4, 6)
    conditioning = FirstFrame(image, patch_size=(1, 2, 2))
    pinned = conditioning.pin(LATENTS, ALL)
    assert torch.equal(pinned[:, :, :1], image) and torch.equal(pinned[:, :, 1:], LATENTS[:, :, 1:])
    hidden_states, timestep = conditioning.model_input(pinned, 7, ALL)
    assert hidden_states is pinned
    assert timestep.tolist() == [[0] * 6 + [7] * 24]


@pytest.mark.parametrize("task", ["i2v-A14B", "ti2v-5B"])
def test_a_needle_is_too_narrow(task: str) -> None:
    with pytest.raises(InvalidInput, match=r"--image of 5000\*2 pixels is too narrow for a video of 3072 pixels"):
        image_geometry(WAN_CONFIGS[task], image_size=(5000, 2), max_area=3072, frame_num=9)
