"""Recognise a checkpoint directory and check it without reading a weight; sizes come from its config files."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.configs import PROJECT_DIR, TaskConfig
from wan.errors import CheckpointError
from wan.sampling.price import DenoiserSize

COMPONENTS = ("text_encoder", "transformer", "vae")
DEMO_COMMAND = 'python generate.py --task t2v-demo --prompt "a red circle moving right on a blue background"'


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checked diffusers-layout directory."""

    path: Path
    config: TaskConfig

    def component_config(self, name: str) -> dict[str, Any]:
        return _read_json(self.path / name / "config.json")

    @property
    def denoiser_size(self) -> DenoiserSize:
        """What the price model needs, from the checkpoint instead of the task's official sizes."""
        config = self.component_config("transformer")
        return DenoiserSize(
            dim=config["num_attention_heads"] * config["attention_head_dim"],
            ffn_dim=config["ffn_dim"],
            num_layers=config["num_layers"],
            text_len=self.config.text_len,
        )


def find_checkpoint_dir(config: TaskConfig, ckpt_dir: str | None) -> Path:
    """The directory a user named, or the task's bundled one; ``CheckpointError`` says how to get one."""
    if ckpt_dir is not None:
        return Path(ckpt_dir)
    if config.bundled_checkpoint is not None:
        return PROJECT_DIR / config.bundled_checkpoint
    repository = config.repositories["diffusers"]
    raise CheckpointError(
        f"--task {config.name} needs --ckpt_dir. Download the checkpoint with `hf download {repository} --local-dir "
        f"./{repository.split('/')[1]}`, or try the model that ships with the project: `{DEMO_COMMAND}`"
    )


def open_checkpoint(config: TaskConfig, path: Path) -> Checkpoint:
    """Check that ``path`` holds what the task needs; ``CheckpointError`` names the first thing that is missing."""
    if not path.is_dir():
        raise CheckpointError(f"--ckpt_dir {path} is not a directory; give the folder that the checkpoint was saved to")
    if not (path / "model_index.json").is_file():
        raise CheckpointError(
            f"--ckpt_dir {path} has no model_index.json, so it is not in the diffusers layout; download "
            f"{config.repositories.get('diffusers', 'a diffusers-layout checkpoint')}"
        )
    names = (*COMPONENTS, "transformer_2") if config.has_two_experts else COMPONENTS
    for name in names:
        _check_component(path / name, config)
    if not (path / "tokenizer").is_dir():
        raise CheckpointError(f"--ckpt_dir {path} has no tokenizer/ folder; download the checkpoint again")
    return Checkpoint(path=path, config=config)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one component: the single one, or every shard that its index names."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        return [folder / name for name in sorted(set(_read_json(indices[0])["weight_map"].values()))]
    return sorted(folder.glob("*.safetensors"))


def _check_component(folder: Path, config: TaskConfig) -> None:
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder} has no config.json, which --task {config.name} needs; download the checkpoint again or check "
            "that --task fits it"
        )
    files = weight_files(folder)
    missing = [file.name for file in files if not file.is_file()] if files else ["*.safetensors"]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; run the download again, it resumes")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); download that file again") from error
