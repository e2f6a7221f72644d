"""Configurations of the published models, from their config.json and the shapes of their tensors alone."""

from typing import Any

import pytest

from tests.goldens import tensors
from wan.errors import CheckpointError
from wan.loading.official_configs import Shapes, denoiser_config, image_encoder_config, text_encoder_config, vae_config

A14B = {
    "_class_name": "WanModel",
    "dim": 5120,
    "eps": 1e-06,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "in_dim": 36,
    "model_type": "i2v",
    "num_heads": 40,
    "num_layers": 40,
    "out_dim": 16,
    "text_len": 512,
}
DENOISER_SHAPES: dict[str, tuple[int, ...]] = {
    "patch_embedding.weight": (5120, 36, 1, 2, 2),
    "text_embedding.0.weight": (5120, 4096),
    "blocks.0.norm3.weight": (5120,),
    "blocks.0.self_attn.norm_q.weight": (5120,),
}


def test_denoiser_of_a14b() -> None:
    config = denoiser_config(A14B, DENOISER_SHAPES)
    assert config["attention_head_dim"] == 128
    assert config["patch_size"] == (1, 2, 2)
    assert config["text_dim"] == 4096
    assert config["cross_attn_norm"] and config["qk_norm"] == "rms_norm_across_heads"
    assert config["image_dim"] is None and config["added_kv_proj_dim"] is None


def test_denoiser_with_image_attention() -> None:
    shapes = DENOISER_SHAPES | {
        "img_emb.proj.0.weight": (1280,),
        "blocks.0.cross_attn.k_img.weight": (5120, 5120),
    }
    config = denoiser_config(A14B, shapes)
    assert config["image_dim"] == 1280 and config["added_kv_proj_dim"] == 5120


def test_text_encoder_of_umt5_xxl() -> None:
    shapes: Shapes = {
        "token_embedding.weight": (256384, 4096),
        "blocks.0.pos_embedding.embedding.weight": (32, 64),
        "blocks.0.attn.q.weight": (4096, 4096),
        "blocks.0.ffn.fc1.weight": (10240, 4096),
        "blocks.23.norm1.weight": (4096,),
    }
    config = text_encoder_config(shapes)
    expected = {"vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    assert expected.items() <= config.items()


def test_image_encoder_of_vit_h_14() -> None:
    shapes: Shapes = {
        "visual.patch_embedding.weight": (1280, 3, 14, 14),
        "visual.pos_embedding": (1, 257, 1280),
        "visual.transformer.0.mlp.0.weight": (5120, 1280),
        "visual.transformer.31.norm1.weight": (1280,),
    }
    config = image_encoder_config(shapes)
    expected: dict[str, Any] = {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
    }
    assert expected.items() <= config.items()


def test_vae_21() -> None:
    config = vae_config({name: tuple(tensor.shape) for name, tensor in tensors("weights_vae21").items()})
    assert config["base_dim"] == config["decoder_base_dim"] == 4
    assert config["dim_mult"] == [1, 2, 4, 4]
    assert config["temperal_downsample"] == [False, True, True]
    assert config["num_res_blocks"] == 2 and not config["is_residual"]
    assert config["patch_size"] is None and config["scale_factor_spatial"] == 8
    assert "latents_mean" not in config


def test_vae_22() -> None:
    config = vae_config({name: tuple(tensor.shape) for name, tensor in tensors("weights_vae22").items()})
    assert (config["base_dim"], config["decoder_base_dim"], config["z_dim"]) == (4, 6, 48)
    assert config["dim_mult"] == [1, 2, 4, 4]
    assert config["temperal_downsample"] == [False, True, True]
    assert config["num_res_blocks"] == 2 and config["is_residual"]
    assert (config["patch_size"], config["in_channels"], config["out_channels"]) == (2, 12, 12)
    assert (config["scale_factor_spatial"], config["scale_factor_temporal"]) == (16, 4)
    assert len(config["latents_mean"]) == len(config["latents_std"]) == 48


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no tensor token_embedding\.weight"):
        text_encoder_config({"blocks.0.norm1.weight": (8,)})
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors("weights_vae21").items()}
    with pytest.raises(CheckpointError, match="8 latent channels"):
        vae_config(shapes | {"conv2.weight": (8, 8, 1, 1, 1)})
