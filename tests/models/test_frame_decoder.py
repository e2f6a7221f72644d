"""Decoding frame by frame gives diffusers' own numbers, whole and in tiles, and holds one piece at a time."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from wan.models.frame_decoder import decoded_frames
from wan.models.vae import VideoVAE

WAN21 = {"base_dim": 8, "z_dim": 16}
WAN22 = {
    **{"base_dim": 8, "decoder_base_dim": 8, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12},
    **{"patch_size": 2, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48},
}


def vae(config: dict[str, object], *, tiled: bool) -> AutoencoderKLWan:
    torch.manual_seed(0)
    model = AutoencoderKLWan(**config).eval()
    if tiled:
        size = {"tile_sample_min_height": 64, "tile_sample_min_width": 96}
        model.enable_tiling(**size, tile_sample_stride_height=48, tile_sample_stride_width=64)
    return model


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("config", [WAN21, WAN22], ids=["2.1", "2.2"])
@torch.no_grad()
def test_the_pieces_are_the_video_of_diffusers(config: dict[str, object], tiled: bool) -> None:
    model = vae(config, tiled=tiled)
    latents = torch.randn(1, model.config.z_dim, 3, 11, 14)
    whole = model.decode(latents, return_dict=False)[0]
    pieces = list(decoded_frames(model, latents))
    assert [piece.shape[2] for piece in pieces] == [1, 4, 4]
    assert torch.equal(torch.cat(pieces, dim=2), whole)
    # another video right after it: nothing is remembered
    assert torch.equal(torch.cat(list(decoded_frames(model, latents)), dim=2), whole)


def test_a_video_that_is_not_finished_spoils_no_other() -> None:
    decoder = VideoVAE(vae(WAN21, tiled=False))
    latents = torch.randn(16, 3, 8, 8)
    whole = decoder.decode(latents)
    stopped = decoder.frames(latents)
    next(stopped), next(stopped)
    assert torch.equal(decoder.decode(latents), whole)
