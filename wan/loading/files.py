"""The files of a checkpoint: JSON, shards, and one sentence for each thing that is wrong with them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.errors import CheckpointError
from wan.loading.config_rules import Rule, fit_problems, known_values, value_problems
from wan.loading.declared import class_problems
from wan.loading.foreign import foreign_by_config
from wan.loading.headers import check_whole, read_entries
from wan.loading.inside import is_shard_name, outside_problem
from wan.loading.problems import Problem
from wan.sampling.plan import Expert
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.regular import why_unusable

INDEX_PATTERN = "*.safetensors.index.json"
# a denoiser in an official root may have other components beside it
_WEIGHT_PATTERNS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model-*.safetensors", "*.safetensors")
_NUMBERED = re.compile(r"(.+)-\d{5}-of-(\d{5})\.safetensors")
_MAX_SHARDS = 1000
_BOTH_AGAIN = "download both again"


def experts_of(config: TaskConfig) -> tuple[Expert, ...]:
    """The experts that a task runs, in the order of their work."""
    return (Expert.HIGH_NOISE, Expert.LOW_NOISE) if config.has_two_experts else (Expert.SINGLE,)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; CheckpointError when there is none."""
    if reason := why_unusable(path):
        if "missing" in reason:
            raise CheckpointError(
                f"{path.parent} has no {path.name}; download it again, or check that --task fits the folder"
            )
        raise CheckpointError(f"{path} cannot be used: {reason}; download that file again")
    state = path.stat()
    return dict(_json_of_state(path, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=1024)
def _json_of_state(path: Path, size: int, modified_ns: int) -> dict[str, Any]:
    """Read once for every state of the file."""
    try:
        return read_json_object(path)
    except Refused as error:
        raise CheckpointError(
            f"{path} is not the JSON file that it should be: {error}; download that file again"
        ) from error


def read_config(path: Path, rules: Mapping[str, Rule], classes: frozenset[str]) -> dict[str, Any]:
    """The values of a component's config.json that its model is made from; CheckpointError names the first problem."""
    for problem in config_problems(path, rules, classes):
        raise CheckpointError(problem.sentence)
    return known_values(read_json(path), rules)


def read_described(path: Path, rules: Mapping[str, Rule], classes: frozenset[str]) -> dict[str, Any]:
    """A config.json, whole or not, without a value that no model can have; CheckpointError names the first one."""
    partial = {name: replace(rule, is_required=False) for name, rule in rules.items()}
    for problem in config_problems(path, partial, classes):
        raise CheckpointError(problem.sentence)
    return read_json(path)


def config_problems(path: Path, rules: Mapping[str, Rule], classes: frozenset[str]) -> Iterator[Problem]:
    """Everything that is wrong with a component's config.json: its class, its notes, its values."""
    try:
        config = read_json(path)
    except CheckpointError as error:
        yield Problem(str(error))
        return
    if foreign := foreign_by_config(config):
        yield Problem(foreign.sentence(path))
    yield from (Problem(sentence) for sentence in class_problems(config, classes, path))
    clauses = list(value_problems(config, rules))
    for clause in clauses or fit_problems(known_values(config, rules)):
        yield Problem(f"{path} {clause}; download that file again")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one component: every shard that its index or their numbers name, or all."""
    indices = sorted(folder.glob(INDEX_PATTERN))
    if indices:
        return [folder / name for name in sorted(set(_weight_map(indices[0]).values()))]
    found = next(filter(None, (sorted(folder.glob(pattern)) for pattern in _WEIGHT_PATTERNS)), None)
    if found is None:
        return [folder / "*.safetensors"]
    shard = _NUMBERED.fullmatch(found[0].name)
    if shard is None or int(shard[2]) > _MAX_SHARDS or not int(shard[2]):
        return found
    return [folder / f"{shard[1]}-{number:05d}-of-{shard[2]}.safetensors" for number in range(1, int(shard[2]) + 1)]


def check_files(files: Sequence[Path]) -> Iterator[Problem]:
    """One problem per weight file that is missing or damaged."""
    for file in files:
        try:
            check_whole(file)
        except CheckpointError as error:
            yield Problem(str(error))


def check_folder(folder: Path, *, ckpt_dir: Path) -> Iterator[Problem]:
    """One problem per weight file of a component that is missing, damaged or elsewhere."""
    try:
        files = weight_files(folder)
    except CheckpointError as error:
        yield Problem(str(error))
        return
    problems = [*check_files(files), *linked_outside(files, ckpt_dir)]
    yield from problems or _shard_problems(folder, files)


def linked_outside(paths: Iterable[Path], ckpt_dir: Path) -> Iterator[Problem]:
    """One problem per file that is a link out of the checkpoint's folder."""
    for path in paths:
        if sentence := outside_problem(path, ckpt_dir):
            yield Problem(sentence)


def _shard_problems(folder: Path, files: Sequence[Path]) -> Iterator[Problem]:
    """Shards that hold a tensor twice, and an index that speaks of others than they hold."""
    held: dict[str, Path] = {}
    for file in files:
        entries = read_entries(file)
        if twice := next((name for name in entries if name in held), None):
            yield Problem(f"{held[twice]} and {file} both hold {shown(twice)}; download them again")
            return
        held |= dict.fromkeys(entries, file)
    for index in sorted(folder.glob(INDEX_PATTERN))[:1]:
        mapped = _weight_map(index)
        wrong = next((name for name, file in mapped.items() if held.get(name) != folder / file), None)
        unknown = next((name for name in held if name not in mapped), None)
        if wrong is not None:
            yield Problem(f"{index} says that {mapped[wrong]} holds {shown(wrong)}, and it does not; {_BOTH_AGAIN}")
        elif unknown is not None:
            yield Problem(f"{index} does not speak of {shown(unknown)}, which {held[unknown]} holds; {_BOTH_AGAIN}")


def denoiser_problems(
    folder: Path,
    config: TaskConfig,
    *,
    rules: Mapping[str, Rule],
    classes: frozenset[str],
    in_channels: str,
    root: Path,
    has_weights: bool = True,
) -> Iterator[Problem]:
    """What is wrong with one expert's folder: its files, the values of its config.json, and whether it is the model
    that the task runs. ``has_weights`` False: they are elsewhere."""
    path = folder / "config.json"
    problems = [*config_problems(path, rules, classes), *linked_outside([path], root)]
    yield from problems
    if not problems and (found := read_json(path)[in_channels]) != config.in_channels:
        yield Problem(
            f"{path} describes a denoiser with {found} input channels, and --task {config.name} runs "
            f"one with {config.in_channels}; download it again"
        )
    if has_weights and any(folder.glob("*.gguf")) and not any(folder.glob("*.safetensors")):
        yield Problem(f"{folder} has its weights as GGUF; run it with --quantize gguf, which needs the package gguf")
    elif has_weights and (folder.is_dir() or not problems):
        yield from check_folder(folder, ckpt_dir=root)


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor to shard of an index; CheckpointError when it names anything but files beside it."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map of names to files; download that file again")
    for name in weight_map.values():
        if not is_shard_name(name):
            raise CheckpointError(
                f"{index} names the shard {shown(name)!r}, and a shard is a safetensors file beside it; "
                "download that file again"
            )
    return weight_map
