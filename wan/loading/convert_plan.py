"""What a conversion to the diffusers layout will write, laid out from headers before a weight is read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.commands import command_line
from wan.configs import WAN_CONFIGS, TaskConfig
from wan.errors import CheckpointError, InvalidInput
from wan.loading.component import Component
from wan.loading.convert_writer import TensorSpec
from wan.loading.described_model import fitting_tasks
from wan.loading.diffusers_files import component_config, small_files
from wan.loading.diffusers_layout import EXPERT_FOLDERS, IMAGE_ENCODER, TEXT_ENCODER
from wan.loading.fingerprint import fingerprint
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX
from wan.loading.layouts import Checkpoint, open_checkpoint, recognise
from wan.loading.models import OpenComponent, components_of
from wan.loading.official_keys import Source
from wan.runs.provenance import CALIBRATION_NAME

SHARD_BYTES = 5 * 10**9

_STEMS = {TEXT_ENCODER: "model", IMAGE_ENCODER: "model"}
_DIFFUSERS_STEM = "diffusion_pytorch_model"
# transformers 4 looks for CLIP's parameters under this, version 5 finds them with and without it
_PREFIXES = {IMAGE_ENCODER: "vision_model."}


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """One safetensors file of the result; ``sources`` says where each tensor is."""

    name: str
    open_component: OpenComponent
    specs: tuple[TensorSpec, ...]
    sources: Mapping[str, Source]

    @property
    def byte_count(self) -> int:
        return sum(spec.byte_count for spec in self.specs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """``texts``: the small files in the order of writing, whose last one makes the directory a checkpoint.

    ``origin`` changes with the source's files, the task and the shard size: the same origin makes the same files.
    """

    checkpoint: Checkpoint
    weights: tuple[WeightFile, ...]
    texts: Mapping[str, str]
    origin: str

    @property
    def byte_count(self) -> int:
        return sum(file.byte_count for file in self.weights)


def plan_conversion(source: Path, config: TaskConfig | None = None, *, shard_bytes: int = SHARD_BYTES) -> Conversion:
    """Check the source and lay out the result; ``CheckpointError`` for one that is not whole or not official."""
    layout = recognise(source) if source.is_dir() else None
    if layout is not None and layout.name == "diffusers":
        raise InvalidInput(f"{source} is in the diffusers layout already; use it as --ckpt_dir as it is")
    checkpoint = open_checkpoint(config or _only_config(source), source)
    models: dict[str, Any] = {}
    weights: list[WeightFile] = []
    texts: dict[str, str] = {}
    for name, open_component in components_of(checkpoint).items():
        component = open_component()
        model = models[name] = component.check()
        specs, sources = _tensors(component, model, _PREFIXES.get(name, ""))
        files = tuple(_shards(name, open_component, specs, sources, shard_bytes))
        weights += files
        if len(files) > 1:
            texts[f"{name}/{_stem(name)}{SAFETENSORS_SUFFIX}.index.json"] = _index(files)
        texts[f"{name}/config.json"] = component_config(model, **_unusual_text_len(name, checkpoint))
    return Conversion(
        checkpoint=checkpoint,
        weights=tuple(weights),
        texts=texts | small_files(checkpoint.config, models),
        origin=_origin(checkpoint, shard_bytes),
    )


def _only_config(source: Path) -> TaskConfig:
    """The first task that the model serves: all of them convert alike."""
    layout = recognise(source) if source.is_dir() else None
    described = layout.described_model(source) if layout else None
    tasks = fitting_tasks(described) if described else ()
    if not tasks:
        raise CheckpointError(
            f"{source} holds no denoiser that a task here runs; see `{command_line('doctor', '--ckpt_dir', source)}`"
        )
    return WAN_CONFIGS[tasks[0]]


def _tensors(component: Component[Any], model: Any, prefix: str) -> tuple[list[TensorSpec], dict[str, Source]]:
    """Every parameter once (of tied names the first), in the model's order."""
    first_names: dict[Source, str] = {}
    for name in model.state_dict():
        first_names.setdefault(component.key_map[name], name)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    specs = [
        TensorSpec(name=prefix + name, shape=shapes[name], dtype=component.weights.read(source.name).dtype)
        for source, name in first_names.items()
    ]
    return specs, {prefix + name: source for source, name in first_names.items()}


def _shards(
    name: str, open_component: OpenComponent, specs: list[TensorSpec], sources: Mapping[str, Source], shard_bytes: int
) -> Iterator[WeightFile]:
    groups: list[list[TensorSpec]] = [[]]
    filled = 0
    for spec in specs:
        if groups[-1] and filled + spec.byte_count > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(spec)
        filled += spec.byte_count
    for number, group in enumerate(groups, start=1):
        part = f"-{number:05d}-of-{len(groups):05d}" if len(groups) > 1 else ""
        yield WeightFile(
            name=f"{name}/{_stem(name)}{part}{SAFETENSORS_SUFFIX}",
            open_component=open_component,
            specs=tuple(group),
            sources={spec.name: sources[spec.name] for spec in group},
        )


def _index(files: tuple[WeightFile, ...]) -> str:
    weight_map = {spec.name: Path(file.name).name for file in files for spec in file.specs}
    total = sum(file.byte_count for file in files)
    return (
        json.dumps({"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}, indent=2) + "\n"
    )


def _stem(name: str) -> str:
    return _STEMS.get(name, _DIFFUSERS_STEM)


def _unusual_text_len(name: str, checkpoint: Checkpoint) -> dict[str, int]:
    is_denoiser = name in EXPERT_FOLDERS.values()
    is_usual = checkpoint.text_len == checkpoint.config.text_len
    return {"text_len": checkpoint.text_len} if is_denoiser and not is_usual else {}


def _origin(checkpoint: Checkpoint, shard_bytes: int) -> str:
    suffixes = {SAFETENSORS_SUFFIX, ".json", *PICKLE_SUFFIXES}
    files = sorted(path for path in checkpoint.path.glob("**/*") if path.suffix in suffixes and path.is_file())
    visible = [
        path for path in files if not any(part.startswith(".") for part in path.relative_to(checkpoint.path).parts)
    ]
    # what was learnt about a checkpoint is no part of it
    lines = [
        f"{path.relative_to(checkpoint.path).as_posix()} {fingerprint(path)}"
        for path in visible
        if path.name != CALIBRATION_NAME
    ]
    return hashlib.sha256("\n".join([checkpoint.config.name, str(shard_bytes), *lines]).encode()).hexdigest()
