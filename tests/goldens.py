"""The recorded official runs: their tensors, and their tiny denoisers as diffusers models."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import load_file
from torch import Tensor

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-4


@cache
def manifest() -> dict[str, Any]:
    return json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))


@cache
def tensors(name: str) -> dict[str, Tensor]:
    return load_file(DATA / f"{name}.safetensors")


@cache
def denoiser(name: str) -> WanTransformer3DModel:
    """The tiny official denoiser of ``t2v-A14B_high`` or ``_low``, in float32."""
    config = manifest()["dit_configs"]["t2v-A14B/high_noise_model"]
    model = WanTransformer3DModel(
        num_attention_heads=config["num_heads"],
        attention_head_dim=config["dim"] // config["num_heads"],
        in_channels=config["in_dim"],
        out_channels=config["out_dim"],
        text_dim=config["text_dim"],
        freq_dim=config["freq_dim"],
        ffn_dim=config["ffn_dim"],
        num_layers=config["num_layers"],
        eps=config["eps"],
    )
    model.load_state_dict(convert_wan_transformer_to_diffusers(dict(tensors(f"weights_dit_{name}"))))
    return model.to(torch.float32).eval().requires_grad_(False)


def padded(embeds: Tensor, length: int = 32) -> Tensor:
    """Trimmed text embeddings (T, D) to (1, length, D), zeros at the end."""
    return torch.cat([embeds, embeds.new_zeros(length - embeds.shape[0], embeds.shape[1])])[None]
