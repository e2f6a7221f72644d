"""The components of an official-layout checkpoint, each as a diffusers or transformers model without weights."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from wan.errors import CheckpointError
from wan.loading.component import Component
from wan.loading.config_rules import OFFICIAL_DENOISER
from wan.loading.declared import OFFICIAL_CLASSES
from wan.loading.denoiser_files import replaced_file
from wan.loading.denoiser_names import with_official_names
from wan.loading.denoiser_weights import open_denoiser
from wan.loading.files import read_config
from wan.loading.layouts import Checkpoint
from wan.loading.official_configs import (
    denoiser_config,
    image_encoder_config,
    is_residual_vae,
    text_encoder_config,
    vae_config,
)
from wan.loading.official_keys import (
    CLIP_RULES,
    CLIP_UNUSED,
    T5_RULES,
    T5_TIED,
    VAE_21_RULES,
    VAE_22_RULES,
    denoiser_key_map,
    key_map_by_rules,
    tie,
)
from wan.loading.official_layout import (
    EXPERT_FOLDERS,
    IMAGE_ENCODER,
    TEXT_ENCODER,
    denoiser_files,
    single_file,
    vae_stem,
)
from wan.loading.weights import Weights, open_weights
from wan.sampling.plan import Expert


def denoiser(checkpoint: Checkpoint, expert: Expert) -> Component[WanTransformer3DModel]:
    """One expert."""
    file = replaced_file(checkpoint.replaced, expert)
    weights: Weights = open_weights(denoiser_files(checkpoint.path, expert)) if file is None else open_denoiser(file)
    folder = checkpoint.path / EXPERT_FOLDERS[expert]
    with _named(file or folder):
        official = read_config(folder / "config.json", OFFICIAL_DENOISER, OFFICIAL_CLASSES)
        config = denoiser_config(official, weights.shapes if file is None else with_official_names(weights.shapes))
    return Component(
        place=str(file or folder),
        make=functools.partial(WanTransformer3DModel, **config),
        weights=weights,
        key_map=denoiser_key_map(weights.shapes) if file is None else key_map_by_rules(weights.shapes, ()),
        keep_float32=WanTransformer3DModel._keep_in_fp32_modules,
    )


def vae(checkpoint: Checkpoint) -> Component[AutoencoderKLWan]:
    """VAE 2.1 or 2.2, whichever the file holds."""
    path, weights = _open_single(checkpoint, vae_stem(checkpoint.config))
    rules = VAE_22_RULES if is_residual_vae(weights.shapes) else VAE_21_RULES
    with _named(path):
        config = vae_config(weights.shapes)
    return Component(
        place=str(path),
        make=functools.partial(AutoencoderKLWan, **config),
        weights=weights,
        key_map=key_map_by_rules(weights.shapes, rules),
    )


def text_encoder(checkpoint: Checkpoint) -> Component[UMT5EncoderModel]:
    """umT5 with eager attention: in bfloat16 it is the one that equals the official encoder bit for bit."""
    path, weights = _open_single(checkpoint, TEXT_ENCODER)
    with _named(path):
        config = UMT5Config(**text_encoder_config(weights.shapes))
    return Component(
        place=str(path),
        make=functools.partial(UMT5EncoderModel._from_config, config, attn_implementation="eager"),
        weights=weights,
        key_map=tie(key_map_by_rules(weights.shapes, T5_RULES), T5_TIED),
    )


def image_encoder(checkpoint: Checkpoint) -> Component[CLIPVisionModel]:
    """The visual tower of the CLIP file."""
    path, weights = _open_single(checkpoint, IMAGE_ENCODER)
    with _named(path):
        config = CLIPVisionConfig(**image_encoder_config(weights.shapes))
    return Component(
        place=str(path),
        make=functools.partial(CLIPVisionModel._from_config, config),
        weights=weights,
        key_map=key_map_by_rules(weights.shapes, CLIP_RULES, unused=CLIP_UNUSED),
        unused=CLIP_UNUSED,
    )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name before an error about its content."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _open_single(checkpoint: Checkpoint, stem: str) -> tuple[Path, Weights]:
    path = single_file(checkpoint.path, stem)
    return path, open_weights([path])
