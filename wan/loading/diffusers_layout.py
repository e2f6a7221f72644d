"""The diffusers layout: one folder per component, each with its config.json and safetensors files."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.errors import CheckpointError
from wan.loading import config_rules
from wan.loading.config_rules import Rule
from wan.loading.declared import MODEL_CLASSES, index_problems
from wan.loading.described_model import DescribedModel
from wan.loading.files import (
    check_folder,
    config_problems,
    denoiser_problems,
    experts_of,
    linked_outside,
    read_described,
    read_json,
)
from wan.loading.problems import Problem
from wan.loading.tokenizer_files import tokenizer_problems
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

INDEX_NAME = "model_index.json"
RULES: Mapping[str, Mapping[str, Rule]] = {
    "transformer": config_rules.DENOISER,
    "transformer_2": config_rules.DENOISER,
    VAE: config_rules.VAE,
    TEXT_ENCODER: config_rules.TEXT_ENCODER,
    IMAGE_ENCODER: config_rules.IMAGE_ENCODER,
}
"""What each component's config.json may say."""


class DiffusersLayout:
    """As published on the Wan-AI model pages with "Diffusers" in their name, and as the demo model ships."""

    name = "diffusers"

    def recognises(self, path: Path) -> bool:
        return (path / "model_index.json").is_file() or (path / "transformer" / "config.json").is_file()

    def problems(self, path: Path, config: TaskConfig, *, replaced: Collection[Expert] = ()) -> Iterator[Problem]:
        """Everything that keeps the directory from serving the task."""
        for expert in experts_of(config):
            name = EXPERT_FOLDERS[expert]
            yield from denoiser_problems(
                path / name,
                config,
                rules=RULES[name],
                classes=MODEL_CLASSES[name],
                in_channels="in_channels",
                root=path,
                has_weights=expert not in replaced,
            )
        for name in (VAE, TEXT_ENCODER, *((IMAGE_ENCODER,) if config.has_image_encoder else ())):
            yield from config_problems(path / name / "config.json", RULES[name], MODEL_CLASSES[name])
            yield from linked_outside([path / name / "config.json"], path)
            yield from check_folder(path / name, ckpt_dir=path)
        yield from tokenizer_problems(path / TOKENIZER, ckpt_dir=path)

    def family_problems(self, path: Path) -> Iterator[Problem]:
        """Why the directory is no model of Wan at all, by its model_index.json."""
        index = path / INDEX_NAME
        if index.exists() or index.is_symlink():
            try:
                yield from map(Problem, index_problems(read_json(index), index))
            except CheckpointError as error:
                yield Problem(str(error))

    def described_model(self, path: Path) -> DescribedModel | None:
        source = path / EXPERT_FOLDERS[Expert.SINGLE] / "config.json"
        if not source.exists():
            return None
        name = EXPERT_FOLDERS[Expert.SINGLE]
        denoiser = read_described(source, RULES[name], MODEL_CLASSES[name])
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
            num_heads=denoiser["num_attention_heads"],
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
