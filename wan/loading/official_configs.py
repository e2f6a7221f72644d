"""Official checkpoints to model configurations: every size from config.json or a tensor's shape, nothing by default."""

import math
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from wan.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

# VAE 2.2 normalises its 48 channels with these; diffusers' class brings those of the 16 channels of VAE 2.1.
_LATENTS_MEAN_48 = (
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891,
    0.1570, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230, -0.0313, -0.1649, 0.0117, 0.0723,
    -0.2839, -0.2083, -0.0520, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
)  # fmt: skip
_LATENTS_STD_48 = (
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
)  # fmt: skip
_LATENT_STATISTICS: Mapping[int, dict[str, Any]] = {
    16: {},
    48: {"latents_mean": list(_LATENTS_MEAN_48), "latents_std": list(_LATENTS_STD_48)},
}

_CLIP_HEAD_WIDTH = 80  # ViT-H/14; no tensor's shape tells the number of heads
_CLIP_SMALL_HEAD_WIDTH = 16


def denoiser_config(official: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """Arguments of WanTransformer3DModel from the official config.json and what only the shapes tell."""
    image_norm = shapes.get("img_emb.proj.0.weight")
    image_key = shapes.get("blocks.0.cross_attn.k_img.weight")
    return {
        "patch_size": _shape(shapes, "patch_embedding.weight")[2:],
        "num_attention_heads": official["num_heads"],
        "attention_head_dim": official["dim"] // official["num_heads"],
        "in_channels": official["in_dim"],
        "out_channels": official["out_dim"],
        "text_dim": _shape(shapes, "text_embedding.0.weight")[1],
        "freq_dim": official["freq_dim"],
        "ffn_dim": official["ffn_dim"],
        "num_layers": official["num_layers"],
        "cross_attn_norm": "blocks.0.norm3.weight" in shapes,
        "qk_norm": "rms_norm_across_heads" if "blocks.0.self_attn.norm_q.weight" in shapes else None,
        "eps": official["eps"],
        "image_dim": image_norm and image_norm[0],
        "added_kv_proj_dim": image_key and image_key[1],
    }


def text_encoder_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of UMT5Config."""
    vocabulary, width = _shape(shapes, "token_embedding.weight")
    buckets, heads = _shape(shapes, "blocks.0.pos_embedding.embedding.weight")
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "d_kv": _shape(shapes, "blocks.0.attn.q.weight")[0] // heads,
        "d_ff": _shape(shapes, "blocks.0.ffn.fc1.weight")[0],
        "num_layers": _count(shapes, r"blocks\.(\d+)\."),
        "num_heads": heads,
        "relative_attention_num_buckets": buckets,
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
        "dropout_rate": 0.0,
        "is_encoder_decoder": False,
        "use_cache": False,
    }


def image_encoder_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of CLIPVisionConfig for the visual tower."""
    width, channels, _, patch = _shape(shapes, "visual.patch_embedding.weight")
    positions = _shape(shapes, "visual.pos_embedding")[1]
    head_width = _CLIP_SMALL_HEAD_WIDTH if width % _CLIP_HEAD_WIDTH else _CLIP_HEAD_WIDTH
    return {
        "hidden_size": width,
        "intermediate_size": _shape(shapes, "visual.transformer.0.mlp.0.weight")[0],
        "num_hidden_layers": _count(shapes, r"visual\.transformer\.(\d+)\."),
        "num_attention_heads": width // head_width,
        "num_channels": channels,
        "image_size": math.isqrt(positions - 1) * patch,
        "patch_size": patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


def is_residual_vae(shapes: Shapes) -> bool:
    """VAE 2.2 groups the layers of a stage, VAE 2.1 counts them through."""
    return any(name.startswith("encoder.downsamples.0.downsamples.") for name in shapes)


def vae_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of AutoencoderKLWan for VAE 2.1 or 2.2."""
    base_width, in_channels = _shape(shapes, "encoder.conv1.weight")[:2]
    out_channels, decoder_width = _shape(shapes, "decoder.head.2.weight")[:2]
    z_dim = _shape(shapes, "conv2.weight")[0]
    if z_dim not in _LATENT_STATISTICS:
        known = ", ".join(map(str, _LATENT_STATISTICS))
        raise CheckpointError(
            f"it is a VAE with {z_dim} latent channels, and Wan's have {known}; give Wan's own VAE file"
        )
    widths, residual_blocks, temporal = _vae_stages(shapes)
    patch = math.isqrt(in_channels // 3)  # the encoder sees patch x patch pixels of three colours as channels
    return {
        "base_dim": base_width,
        "decoder_base_dim": decoder_width,
        "z_dim": z_dim,
        "dim_mult": [width // base_width for width in widths],
        "num_res_blocks": residual_blocks,
        "temperal_downsample": temporal,
        "is_residual": is_residual_vae(shapes),
        "in_channels": in_channels,
        "out_channels": out_channels,
        "patch_size": patch if patch > 1 else None,
        "scale_factor_temporal": 2 ** sum(temporal),
        "scale_factor_spatial": 2 ** len(temporal) * patch,
        **_LATENT_STATISTICS[z_dim],
    }


def _vae_stages(shapes: Shapes) -> tuple[list[int], int, list[bool]]:
    """(width of each encoder stage, residual blocks per stage, for each downsampler whether it also halves time)."""
    pattern = re.compile(
        r"encoder\.downsamples\.([\d.]+?)(?:\.downsamples\.(\d+))?\.(residual\.6|resample\.1|time_conv)\.bias"
    )
    layers: dict[tuple[int, int], dict[str, int]] = {}
    for name, shape in shapes.items():
        if match := pattern.fullmatch(name):
            index = int(match[1]), int(match[2] or 0)
            layers.setdefault(index, {})[match[3]] = shape[0]
    widths: list[int] = []
    temporal: list[bool] = []
    blocks_per_stage: list[int] = []
    for is_block, group in groupby(
        (layers[index] for index in sorted(layers)), key=lambda layer: "residual.6" in layer
    ):
        members = list(group)
        if is_block:
            widths.append(members[-1]["residual.6"])
            blocks_per_stage.append(len(members))
        else:
            temporal.append("time_conv" in members[0])
    if not widths:
        raise CheckpointError("it holds no encoder.downsamples tensors; give Wan's own VAE file")
    return widths, blocks_per_stage[0], temporal


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise CheckpointError(f"it has no tensor {name}, so it is not what its name says; download it again")
    return shapes[name]


def _count(shapes: Shapes, pattern: str) -> int:
    numbers = [int(match[1]) for name in shapes if (match := re.match(pattern, name))]
    return max(numbers, default=-1) + 1
