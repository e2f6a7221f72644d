"""The official layout: original names, WanModel's config.json, VAE and encoders as .pth files in the root."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.loading.config_rules import OFFICIAL_DENOISER
from wan.loading.declared import OFFICIAL_CLASSES
from wan.loading.described_model import DescribedModel
from wan.loading.files import (
    check_files,
    denoiser_problems,
    experts_of,
    linked_outside,
    read_described,
    read_json,
    weight_files,
)
from wan.loading.problems import Problem
from wan.loading.tokenizer_files import tokenizer_problems
from wan.sampling.plan import Expert
from wan.sampling.price import DenoiserSize

EXPERT_FOLDERS: Mapping[Expert, str] = {
    Expert.HIGH_NOISE: "high_noise_model",
    Expert.LOW_NOISE: "low_noise_model",
    Expert.SINGLE: ".",
}
TEXT_ENCODER = "models_t5_umt5-xxl-enc-bf16"
IMAGE_ENCODER = "models_clip_open-clip-xlm-roberta-large-vit-huge-14"
TOKENIZER = "google/umt5-xxl"
_VAE_BY_CHANNELS = {16: "Wan2.1_VAE", 48: "Wan2.2_VAE"}
_SUFFIXES = (".pth", ".safetensors")


class OfficialLayout:
    """As published on the Wan-AI model pages without "Diffusers" in their name."""

    name = "official"

    def recognises(self, path: Path) -> bool:
        folders = {folder.name for folder in path.iterdir() if folder.is_dir()}
        single_files = [path / f"{TEXT_ENCODER}.pth", *(path / f"{vae}.pth" for vae in _VAE_BY_CHANNELS.values())]
        return (
            (path / "config.json").is_file()
            or not folders.isdisjoint({"high_noise_model", "low_noise_model"})
            or any(file.is_file() for file in single_files)
        )

    def problems(self, path: Path, config: TaskConfig, *, replaced: Collection[Expert] = ()) -> Iterator[Problem]:
        """Everything that keeps the directory from serving the task."""
        for expert in experts_of(config):
            folder = path / EXPERT_FOLDERS[expert]
            yield from denoiser_problems(
                folder,
                config,
                rules=OFFICIAL_DENOISER,
                classes=OFFICIAL_CLASSES,
                in_channels="in_dim",
                root=path,
                has_weights=expert not in replaced,
            )
        for stem in (vae_stem(config), TEXT_ENCODER, *((IMAGE_ENCODER,) if config.has_image_encoder else ())):
            file = single_file(path, stem)
            yield from check_files([file])
            yield from linked_outside([file], path)
        yield from tokenizer_problems(path / TOKENIZER, ckpt_dir=path)

    def family_problems(self, path: Path) -> Iterator[Problem]:
        """None: its config.json files say what it is."""
        return iter(())

    def described_model(self, path: Path) -> DescribedModel | None:
        sources = [path / folder / "config.json" for folder in EXPERT_FOLDERS.values()]
        found = [source for source in sources if source.exists()]
        if not found:
            return None
        official = read_described(found[0], OFFICIAL_DENOISER, OFFICIAL_CLASSES)
        return DescribedModel(
            source=found[0],
            has_two_experts=any(source.parent.is_dir() for source in sources if source.parent != path),
            in_channels=_in_channels(official),
            dim=official.get("dim"),
            ffn_dim=official.get("ffn_dim"),
            num_layers=official.get("num_layers"),
        )

    def denoiser_size(self, path: Path, config: TaskConfig) -> DenoiserSize:
        official = denoiser_json(path, experts_of(config)[0])
        return DenoiserSize(
            dim=official["dim"],
            ffn_dim=official["ffn_dim"],
            num_layers=official["num_layers"],
            num_heads=official["num_heads"],
            text_len=self.text_len(path, config),
        )

    def text_len(self, path: Path, config: TaskConfig) -> int:
        return denoiser_json(path, experts_of(config)[0]).get("text_len", config.text_len)

    def expert_folder(self, path: Path, expert: Expert) -> Path:
        return path / EXPERT_FOLDERS[expert]

    def tokenizer_dir(self, path: Path) -> Path:
        return path / TOKENIZER


def denoiser_json(path: Path, expert: Expert) -> dict[str, Any]:
    """One expert's official config.json."""
    return read_json(path / EXPERT_FOLDERS[expert] / "config.json")


def denoiser_files(path: Path, expert: Expert) -> list[Path]:
    """One expert's shards."""
    return weight_files(path / EXPERT_FOLDERS[expert])


def vae_stem(config: TaskConfig) -> str:
    """File name of the task's VAE without suffix."""
    return _VAE_BY_CHANNELS[config.latent_channels]


def single_file(path: Path, stem: str) -> Path:
    """``stem`` with the suffix that is there; the published one when none is."""
    found = [path / f"{stem}{suffix}" for suffix in _SUFFIXES if (path / f"{stem}{suffix}").exists()]
    return found[0] if found else path / f"{stem}{_SUFFIXES[0]}"


def _in_channels(denoiser: Mapping[str, Any]) -> int | None:
    return denoiser.get("in_dim")
