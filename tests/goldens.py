"""The recorded official runs: their tensors, their tiny denoisers, and their checkpoints as directories."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from wan.configs import WAN_CONFIGS, TaskConfig
from wan.loading.diffusers_layout import EXPERT_FOLDERS, TEXT_LEN_KEY
from wan.loading.files import experts_of
from wan.loading.layouts import open_checkpoint
from wan.loading.models import load_expert, load_image_encoder, load_text_encoder, load_tokenizer, load_vae

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-4
CPU = torch.device("cpu")
INDEX_NAME = "diffusion_pytorch_model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded run: the task that repeats it, and its checkpoint's name in the manifest."""

    task: str
    checkpoint: str

    @property
    def config(self) -> TaskConfig:
        return WAN_CONFIGS[self.task]


RUNS: Mapping[str, Run] = {
    "t2v_A14B_unipc": Run("t2v-A14B", "t2v-A14B"),
    "i2v_A14B_unipc": Run("i2v-A14B", "i2v-A14B"),
    "ti2v_5B_t2v_unipc": Run("ti2v-5B", "ti2v-5B"),
    "ti2v_5B_i2v_unipc": Run("ti2v-5B", "ti2v-5B"),
    "wan21_t2v_unipc": Run("t2v-1.3B", "wan21_t2v-1.3B"),
    "wan21_i2v_unipc": Run("i2v-14B", "wan21_i2v-14B"),
}


@cache
def manifest() -> dict[str, Any]:
    return json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))


def recorded(run: str) -> dict[str, Any]:
    """What a run was asked for: steps, shift, guide_scale, seed, prompt, negative, args."""
    return {**manifest()["runs"], **manifest()["runs_wan21"]}[run]


@cache
def tensors(name: str) -> dict[str, Tensor]:
    return load_file(DATA / f"{name}.safetensors")


def input_image() -> Image.Image:
    """The image that every image run started from."""
    return Image.fromarray(tensors("image_input")["image_uint8_hwc"].numpy())


def worst(actual: Tensor, expected: Tensor) -> float:
    """The largest absolute difference; shapes must agree."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return (actual.float() - expected.float()).abs().max().item()


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


def materialise(run: str, directory: Path, *, layout: str = "official", shards: int = 1) -> Path:
    """Write a run's checkpoint into ``directory`` in either layout, the denoisers in ``shards`` files; returns it."""
    checkpoint = RUNS[run].checkpoint
    if layout == "official":
        return _write_official(checkpoint, directory, shards=shards)
    official = _write_official(checkpoint, directory / "official", shards=1)
    return _write_diffusers(official, RUNS[run].config, directory / "diffusers", shards=shards)


def _write_official(checkpoint: str, directory: Path, *, shards: int) -> Path:
    for place, source in manifest()["layouts"][checkpoint].items():
        name = source.split(" ")[0]
        if place.endswith(".pth"):
            directory.mkdir(parents=True, exist_ok=True)
            torch.save(dict(tensors(name)), directory / place)
        elif name.startswith("weights_dit"):
            key = f"{checkpoint}/{place.rstrip('/')}".rstrip("/")
            _write_denoiser(directory / place, tensors(name), manifest()["dit_configs"][key], shards=shards)
        else:
            shutil.copytree(DATA / "tokenizer", directory / place)
    return directory


def _write_denoiser(folder: Path, weights: dict[str, Tensor], config: dict[str, Any], *, shards: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # the official files leave the text width out
    public = {key: value for key, value in config.items() if key != "text_dim"}
    (folder / "config.json").write_text(json.dumps(public))
    if shards == 1:
        save_file(weights, folder / "diffusion_pytorch_model.safetensors")
        return
    weight_map = {}
    for shard in range(shards):
        file = f"diffusion_pytorch_model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: weights[name] for name in sorted(weights)[shard::shards]}
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / INDEX_NAME).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _write_diffusers(official: Path, config: TaskConfig, directory: Path, *, shards: int) -> Path:
    """Through diffusers' and transformers' own ``save_pretrained``."""
    checkpoint = open_checkpoint(config, official)
    shard_size = "10GB" if shards == 1 else "100KB"
    for expert in experts_of(config):
        folder = directory / EXPERT_FOLDERS[expert]
        load_expert(checkpoint, expert, dtype=torch.float32, device=CPU).save_pretrained(
            folder, max_shard_size=shard_size
        )
        content = json.loads((folder / "config.json").read_text()) | {TEXT_LEN_KEY: checkpoint.text_len}
        (folder / "config.json").write_text(json.dumps(content))
    load_vae(checkpoint, device=CPU).model.save_pretrained(directory / "vae")
    text = load_text_encoder(checkpoint, load_tokenizer(checkpoint), dtype=torch.float32, device=CPU)
    text.model.save_pretrained(directory / "text_encoder")
    if config.has_image_encoder:
        clip = load_image_encoder(checkpoint, dtype=torch.float32, device=CPU)
        clip.model.save_pretrained(directory / "image_encoder")
    shutil.copytree(checkpoint.tokenizer_dir, directory / "tokenizer")
    (directory / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    return directory
