"""A random two-expert checkpoint in the official layout: the names and widths of t2v-A14B, as few layers as asked."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.loading.convert_writer import TensorSpec, write_safetensors
from wan.loading.doctor import format_bytes, free_bytes
from wan.loading.official_layout import EXPERT_FOLDERS, TEXT_ENCODER, TOKENIZER, vae_stem
from wan.sampling.plan import Expert

TASK = "t2v-A14B"
SHARDS = 2
# A VAE and a tokenizer of the right kinds, some hundred KB: what is measured is experts and text encoder.
_DATA = SOURCE_DIR / "tests" / "data"
_VOCABULARY = 384  # of that tokenizer
_FREQ_DIM, _LATENT_CHANNELS, _PATCH_VOLUME, _BUCKETS = 256, 16, 4, 32
_TEXT_LEN = 32  # a short text: its activations are not what is measured
_SPARE_BYTES = 2**30
OnBytes = Callable[[int], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Denoiser (``dim``, ``ffn_dim``, ``heads``, ``layers``) and umT5 (``text_``...), which is stored in bfloat16."""

    dim: int
    ffn_dim: int
    heads: int
    layers: int
    text_dim: int
    text_ffn_dim: int
    text_heads: int
    text_layers: int

    def expert_elements(self) -> int:
        one, two = (_elements(denoiser_shapes(replace(self, layers=layers))) for layers in (1, 2))
        return one + (self.layers - 1) * (two - one)

    def block_elements(self) -> int:
        """The matrices of all blocks, which quantisation makes small."""
        return self.layers * (8 * self.dim**2 + 2 * self.dim * self.ffn_dim)

    def text_elements(self) -> int:
        return _elements(text_shapes(self))

    def byte_count(self, stored: torch.dtype) -> int:
        """Of the whole checkpoint on disk."""
        return 2 * self.expert_elements() * stored.itemsize + self.text_elements() * torch.bfloat16.itemsize


def official_sizes(*, layers: int, text_layers: int) -> Sizes:
    """The widths of t2v-A14B and umT5-xxl."""
    config = WAN_CONFIGS[TASK]
    return Sizes(
        dim=config.dim,
        ffn_dim=config.ffn_dim,
        heads=config.num_heads,
        layers=layers,
        text_dim=config.text_dim,
        text_ffn_dim=10240,
        text_heads=64,
        text_layers=text_layers,
    )


TINY = Sizes(dim=64, ffn_dim=128, heads=4, layers=1, text_dim=32, text_ffn_dim=64, text_heads=4, text_layers=1)
"""Next to nothing: what a run of it takes is what the libraries take."""


def write_checkpoint(folder: Path, sizes: Sizes, *, stored: torch.dtype, on_bytes: OnBytes) -> Path:
    """The experts in ``stored`` as sharded safetensors, umT5 in a bfloat16 .pth as published; returns ``folder``."""
    for seed, expert in enumerate((Expert.HIGH_NOISE, Expert.LOW_NOISE)):
        _write_expert(folder / EXPERT_FOLDERS[expert], sizes, stored, torch.Generator().manual_seed(seed), on_bytes)
    _write_text_encoder(folder / f"{TEXT_ENCODER}.pth", sizes, on_bytes)
    torch.save(load_file(_DATA / "weights_vae21.safetensors"), folder / f"{vae_stem(WAN_CONFIGS[TASK])}.pth")
    shutil.copytree(_DATA / "tokenizer", folder / TOKENIZER)
    return folder


def refuse_full_disk(folder: Path, byte_count: int) -> None:
    """``InvalidInput`` unless the disk holds that much and a little more."""
    needed, free = byte_count + _SPARE_BYTES, free_bytes(folder)
    if free < needed:
        raise InvalidInput(
            f"the disk of {folder} has {format_bytes(free)} free and the checkpoint needs {format_bytes(needed)}; "
            "give a smaller --gigabytes, or another --work_dir"
        )


def denoiser_shapes(sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Official names and shapes of one expert."""
    dim, ffn = sizes.dim, sizes.ffn_dim
    yield "patch_embedding.weight", (dim, _LATENT_CHANNELS, 1, 2, 2)
    yield "patch_embedding.bias", (dim,)
    yield from _linear("text_embedding.0", sizes.text_dim, dim)
    yield from _linear("text_embedding.2", dim, dim)
    yield from _linear("time_embedding.0", _FREQ_DIM, dim)
    yield from _linear("time_embedding.2", dim, dim)
    yield from _linear("time_projection.1", dim, 6 * dim)
    for layer in range(sizes.layers):
        block = f"blocks.{layer}"
        for attention in ("self_attn", "cross_attn"):
            for part in ("q", "k", "v", "o"):
                yield from _linear(f"{block}.{attention}.{part}", dim, dim)
            yield f"{block}.{attention}.norm_q.weight", (dim,)
            yield f"{block}.{attention}.norm_k.weight", (dim,)
        yield f"{block}.norm3.weight", (dim,)
        yield f"{block}.norm3.bias", (dim,)
        yield from _linear(f"{block}.ffn.0", dim, ffn)
        yield from _linear(f"{block}.ffn.2", ffn, dim)
        yield f"{block}.modulation", (1, 6, dim)
    yield from _linear("head.head", dim, _LATENT_CHANNELS * _PATCH_VOLUME)
    yield "head.modulation", (1, 2, dim)


def text_shapes(sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Official names and shapes of umT5."""
    dim, ffn = sizes.text_dim, sizes.text_ffn_dim
    yield "token_embedding.weight", (_VOCABULARY, dim)
    yield "norm.weight", (dim,)
    for layer in range(sizes.text_layers):
        block = f"blocks.{layer}"
        yield f"{block}.norm1.weight", (dim,)
        for part in ("q", "k", "v", "o"):
            yield f"{block}.attn.{part}.weight", (dim, dim)
        yield f"{block}.pos_embedding.embedding.weight", (_BUCKETS, sizes.text_heads)
        yield f"{block}.norm2.weight", (dim,)
        yield f"{block}.ffn.gate.0.weight", (ffn, dim)
        yield f"{block}.ffn.fc1.weight", (ffn, dim)
        yield f"{block}.ffn.fc2.weight", (dim, ffn)


def _linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _write_expert(
    folder: Path, sizes: Sizes, stored: torch.dtype, generator: torch.Generator, on_bytes: OnBytes
) -> None:
    folder.mkdir(parents=True)
    specs = [TensorSpec(name=name, shape=shape, dtype=stored) for name, shape in denoiser_shapes(sizes)]
    weight_map: dict[str, str] = {}
    for shard in range(SHARDS):
        file = f"diffusion_pytorch_model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        part = specs[shard::SHARDS]
        write_safetensors(folder / file, part, lambda spec: _random(spec, generator), on_bytes)
        weight_map |= {spec.name: file for spec in part}
    index = {"metadata": {"total_size": sum(spec.byte_count for spec in specs)}, "weight_map": weight_map}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    config = {
        "_class_name": "WanModel",
        "dim": sizes.dim,
        "eps": 1e-6,
        "ffn_dim": sizes.ffn_dim,
        "freq_dim": _FREQ_DIM,
        "in_dim": _LATENT_CHANNELS,
        "model_type": "t2v",
        "num_heads": sizes.heads,
        "num_layers": sizes.layers,
        "out_dim": _LATENT_CHANNELS,
        "text_len": _TEXT_LEN,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def _write_text_encoder(path: Path, sizes: Sizes, on_bytes: OnBytes) -> None:
    generator = torch.Generator().manual_seed(2)
    specs = [TensorSpec(name=name, shape=shape, dtype=torch.bfloat16) for name, shape in text_shapes(sizes)]
    torch.save({spec.name: _random(spec, generator) for spec in specs}, path)
    on_bytes(sum(spec.byte_count for spec in specs))


def _random(spec: TensorSpec, generator: torch.Generator) -> Tensor:
    """Matrices keep the variance of what passes through them, norms and biases are neutral: nothing overflows."""
    if len(spec.shape) == 1:
        return torch.full(spec.shape, float(spec.name.endswith("weight")), dtype=spec.dtype)
    values = torch.randn(spec.shape, generator=generator)
    return values.mul_(math.prod(spec.shape[1:]) ** -0.5).to(spec.dtype)


def _elements(shapes: Iterator[tuple[str, Sequence[int]]]) -> int:
    return sum(math.prod(shape) for _, shape in shapes)
