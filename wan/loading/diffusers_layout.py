"""The diffusers layout: one folder per component, each with its config.json and safetensors files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.loading.described_model import DescribedModel
from wan.loading.files import check_folder, denoiser_problems, experts_of, json_problems, read_json, tokenizer_problems
from wan.loading.problems import Problem
from wan.sampling.plan import Expert
from wan.sampling.price import DenoiserSize

# diffusers' order: ``transformer`` is the high-noise expert, or the only one
EXPERT_FOLDERS: Mapping[Expert, str] = {
    Expert.HIGH_NOISE: "transformer",
    Expert.LOW_NOISE: "transformer_2",
    Expert.SINGLE: "transformer",
}
VAE, TEXT_ENCODER, IMAGE_ENCODER, TOKENIZER = "vae", "text_encoder", "image_encoder", "tokenizer"
TEXT_LEN_KEY = "text_len"
"""Ours, in transformer/config.json, for a model that was trained with another text length than its task's."""

_NUMBERS = ("attention_head_dim", "ffn_dim", "in_channels", "num_attention_heads", "num_layers")


class DiffusersLayout:
    """As published on the Wan-AI model pages with "Diffusers" in their name, and as the demo model ships."""

    name = "diffusers"

    def recognises(self, path: Path) -> bool:
        return (path / "model_index.json").is_file() or (path / "transformer" / "config.json").is_file()

    def problems(self, path: Path, config: TaskConfig) -> Iterator[Problem]:
        """Everything that keeps the directory from serving the task."""
        for expert in experts_of(config):
            folder = path / EXPERT_FOLDERS[expert]
            yield from denoiser_problems(folder, config, numbers=_NUMBERS, in_channels="in_channels")
        for name in (VAE, TEXT_ENCODER, *((IMAGE_ENCODER,) if config.has_image_encoder else ())):
            yield from json_problems(path / name)
            yield from check_folder(path / name)
        yield from tokenizer_problems(path / TOKENIZER)

    def described_model(self, path: Path) -> DescribedModel | None:
        source = path / EXPERT_FOLDERS[Expert.SINGLE] / "config.json"
        if not source.is_file():
            return None
        denoiser = read_json(source)
        heads, head_width = denoiser.get("num_attention_heads"), denoiser.get("attention_head_dim")
        return DescribedModel(
            source=source,
            has_two_experts=_has_second_expert(path),
            in_channels=_in_channels(denoiser),
            dim=heads * head_width if isinstance(heads, int) and isinstance(head_width, int) else None,
            ffn_dim=denoiser.get("ffn_dim"),
            num_layers=denoiser.get("num_layers"),
        )

    def denoiser_size(self, path: Path, config: TaskConfig) -> DenoiserSize:
        denoiser = denoiser_json(path, experts_of(config)[0])
        return DenoiserSize(
            dim=denoiser["num_attention_heads"] * denoiser["attention_head_dim"],
            ffn_dim=denoiser["ffn_dim"],
            num_layers=denoiser["num_layers"],
            text_len=self.text_len(path, config),
        )

    def text_len(self, path: Path, config: TaskConfig) -> int:
        return denoiser_json(path, experts_of(config)[0]).get(TEXT_LEN_KEY, config.text_len)

    def expert_folder(self, path: Path, expert: Expert) -> Path:
        return path / EXPERT_FOLDERS[expert]

    def tokenizer_dir(self, path: Path) -> Path:
        return path / TOKENIZER


def denoiser_json(path: Path, expert: Expert) -> dict[str, Any]:
    """One expert's config.json."""
    return read_json(path / EXPERT_FOLDERS[expert] / "config.json")


def _has_second_expert(path: Path) -> bool:
    """Whether there is one, or model_index.json says that there should be."""
    if (path / EXPERT_FOLDERS[Expert.LOW_NOISE]).is_dir():
        return True
    index = path / "model_index.json"
    declared = read_json(index).get(EXPERT_FOLDERS[Expert.LOW_NOISE]) if index.is_file() else None
    return isinstance(declared, list) and None not in declared


def _in_channels(denoiser: Mapping[str, Any]) -> int | None:
    return denoiser.get("in_channels")
