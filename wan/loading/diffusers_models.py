"""The components of a diffusers-layout checkpoint, each as a diffusers or transformers model without weights."""

import functools
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from wan.loading.component import Component
from wan.loading.declared import MODEL_CLASSES
from wan.loading.denoiser_files import replaced_file
from wan.loading.denoiser_weights import open_denoiser
from wan.loading.diffusers_layout import (
    EXPERT_FOLDERS,
    IMAGE_ENCODER,
    RULES,
    TEXT_ENCODER,
    TEXT_LEN_KEY,
    VAE,
)
from wan.loading.files import read_config, weight_files
from wan.loading.layouts import Checkpoint
from wan.loading.official_keys import T5_TIED, Rule, key_map_by_rules, tie
from wan.loading.weights import Weights, open_weights
from wan.sampling.plan import Expert

# published denoisers carry a norm that no layer uses, CLIP files made with transformers 4 a prefix and a buffer
_DENOISER_UNUSED = r"\.norm_added_q\."
_IMAGE_ENCODER_RULES: tuple[Rule, ...] = ((r"^vision_model\.", ""),)
_ENCODER_ALONE = {"is_encoder_decoder": False, "use_cache": False}
_IMAGE_ENCODER_UNUSED = r"embeddings\.position_ids$|^visual_projection\."


def denoiser(checkpoint: Checkpoint, expert: Expert) -> Component[WanTransformer3DModel]:
    """One expert."""
    folder = checkpoint.path / EXPERT_FOLDERS[expert]
    file = replaced_file(checkpoint.replaced, expert)
    weights = open_weights(weight_files(folder)) if file is None else open_denoiser(file)
    config = _config(checkpoint, EXPERT_FOLDERS[expert])
    config.pop(TEXT_LEN_KEY, None)
    return Component(
        place=str(file or folder),
        make=functools.partial(WanTransformer3DModel.from_config, config),
        weights=weights,
        key_map=key_map_by_rules(weights.shapes, (), unused=_DENOISER_UNUSED),
        unused=_DENOISER_UNUSED,
        keep_float32=WanTransformer3DModel._keep_in_fp32_modules,
    )


def vae(checkpoint: Checkpoint) -> Component[AutoencoderKLWan]:
    """The VAE that its config.json describes."""
    folder, weights = _open(checkpoint, VAE)
    config = _config(checkpoint, VAE)
    return Component(
        place=str(folder),
        make=functools.partial(AutoencoderKLWan.from_config, config),
        weights=weights,
        key_map=key_map_by_rules(weights.shapes, ()),
    )


def text_encoder(checkpoint: Checkpoint) -> Component[UMT5EncoderModel]:
    """umT5 with eager attention: in bfloat16 it is the one that equals the official encoder bit for bit."""
    folder, weights = _open(checkpoint, TEXT_ENCODER)
    config = UMT5Config(**_config(checkpoint, TEXT_ENCODER), **_ENCODER_ALONE)
    return Component(
        place=str(folder),
        make=functools.partial(UMT5EncoderModel._from_config, config, attn_implementation="eager"),
        weights=weights,
        key_map=tie(key_map_by_rules(weights.shapes, ()), T5_TIED),
    )


def image_encoder(checkpoint: Checkpoint) -> Component[CLIPVisionModel]:
    """The CLIP vision model."""
    folder, weights = _open(checkpoint, IMAGE_ENCODER)
    config = CLIPVisionConfig(**_config(checkpoint, IMAGE_ENCODER))
    return Component(
        place=str(folder),
        make=functools.partial(CLIPVisionModel._from_config, config),
        weights=weights,
        key_map=key_map_by_rules(weights.shapes, _IMAGE_ENCODER_RULES, unused=_IMAGE_ENCODER_UNUSED),
        unused=_IMAGE_ENCODER_UNUSED,
    )


def _config(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    return read_config(checkpoint.path / name / "config.json", RULES[name], MODEL_CLASSES[name])


def _open(checkpoint: Checkpoint, name: str) -> tuple[Path, Weights]:
    folder = checkpoint.path / name
    return folder, open_weights(weight_files(folder))
