"""The files of a checkpoint: JSON, shards, and one sentence for each thing that is wrong with them."""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.errors import CheckpointError
from wan.loading.headers import check_whole
from wan.loading.problems import Problem
from wan.sampling.plan import Expert

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
INDEX_PATTERN = "*.safetensors.index.json"
# a denoiser in an official root may have other components beside it
_WEIGHT_PATTERNS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors", "*.safetensors")


def experts_of(config: TaskConfig) -> tuple[Expert, ...]:
    """The experts that a task runs, in the order of their work."""
    return (Expert.HIGH_NOISE, Expert.LOW_NOISE) if config.has_two_experts else (Expert.SINGLE,)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; CheckpointError when there is none."""
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} has no {path.name}; download it again, or check that --task fits the folder"
        )
    state = path.stat()
    return dict(_json_of_state(path, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=1024)
def _json_of_state(path: Path, size: int, modified_ns: int) -> dict[str, Any]:
    """Read once for every state of the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}); download that file again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object; download that file again")
    return content


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one component: every shard that its index names, those of the usual name, or all."""
    indices = sorted(folder.glob(INDEX_PATTERN))
    if indices:
        return [folder / name for name in _shard_names(indices[0])]
    found = (sorted(folder.glob(pattern)) for pattern in _WEIGHT_PATTERNS)
    return next(filter(None, found), [folder / "*.safetensors"])


def check_files(files: Sequence[Path]) -> Iterator[Problem]:
    """One problem per weight file that is missing or damaged."""
    for file in files:
        try:
            check_whole(file)
        except CheckpointError as error:
            yield Problem(str(error))


def check_folder(folder: Path) -> Iterator[Problem]:
    """One problem per weight file of a component that is missing or damaged."""
    try:
        files = weight_files(folder)
    except CheckpointError as error:
        yield Problem(str(error))
        return
    yield from check_files(files)


def json_problems(folder: Path) -> Iterator[Problem]:
    """A problem when the component's folder has no config.json, or none that can be read."""
    try:
        read_json(folder / "config.json")
    except CheckpointError as error:
        yield Problem(str(error))


def tokenizer_problems(folder: Path) -> Iterator[Problem]:
    """What keeps the tokenizer from loading, as far as one look at its files tells."""
    if not folder.is_dir():
        yield Problem(f"{folder} is missing, the tokenizer's folder; download it again")
        return
    for path in (folder / name for name in TOKENIZER_FILES):
        if not path.is_file():
            yield Problem(f"{path} is missing, a file of the tokenizer; download it again")
        elif not _opens_like_json(path):
            yield Problem(
                f"{path} is not the tokenizer's file but {path.stat().st_size} bytes of something else; "
                "download it again"
            )


def denoiser_problems(
    folder: Path, config: TaskConfig, *, numbers: Sequence[str], in_channels: str
) -> Iterator[Problem]:
    """What is wrong with one expert's folder: its files, the numbers of its config.json, and whether it is the model
    that the task runs."""
    problems = list(json_problems(folder))
    yield from problems
    if problems:
        yield from check_folder(folder) if folder.is_dir() else ()
        return
    denoiser = read_json(folder / "config.json")
    if absent := [name for name in numbers if not isinstance(denoiser.get(name), int | float)]:
        yield Problem(f"{folder / 'config.json'} lacks the numbers {', '.join(absent)}; download that file again")
    elif (found := denoiser[in_channels]) != config.in_channels:
        yield Problem(
            f"{folder / 'config.json'} describes a denoiser with {found} input channels, and --task {config.name} runs "
            f"one with {config.in_channels}; download it again"
        )
    yield from check_folder(folder)


def _opens_like_json(path: Path) -> bool:
    """Cheaper than reading it: the vocabulary of umT5 is 17 MB of JSON. An LFS pointer and an error page fail."""
    with path.open("rb") as file:
        return file.read(1) == b"{"


def _shard_names(index: Path) -> list[str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError(f"{index} has no weight_map of names to files; download that file again")
    return sorted(set(weight_map.values()))
