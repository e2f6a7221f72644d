"""A language model on this machine before it is loaded: which folder or name it is, whether it sees, and its files."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.errors import CheckpointError, InvalidInput
from wan.loading.declared import code_problems
from wan.loading.files import read_json, weight_files
from wan.loading.headers import is_lfs_pointer
from wan.texts import check_path
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.safetensors_header import read_header

TEXT_MODEL = "Qwen/Qwen2.5-7B-Instruct"
VISION_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
"""Used where none is named: Apache-2.0, 15 and 17 GB."""
WANTED_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")
"""Of a repository: neither code nor pickles."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalModel:
    """``folder`` None: a name on Hugging Face that is not in its cache here; what it is, is known when it is there."""

    name: str
    folder: Path | None

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weight files; 0 while they are not here."""
        return 0 if self.folder is None else sum(file.stat().st_size for file in weight_files(self.folder))


def find_local_model(name: str | None, *, sees: bool) -> LocalModel:
    """The folder, or the name on Hugging Face; ``InvalidInput`` for what is neither, or not the model that it should
    be. ``sees``: it has to look at a picture. Imports neither torch nor transformers, and asks no network."""
    name = name or (VISION_MODEL if sees else TEXT_MODEL)
    folder = Path(name)
    check_path(folder, name="--prompt_extend_model")
    if not folder.is_dir():
        if folder.exists() or not _HUB_NAME.fullmatch(name):
            raise InvalidInput(
                f"--prompt_extend_model {shown(name)} is neither a folder here nor a name on Hugging Face such as "
                f"{TEXT_MODEL}"
            )
        cached = _cached(name)
        if cached is None:
            return LocalModel(name=name, folder=None)
        folder = cached
    check_local_model(folder, sees=sees)
    return LocalModel(name=name, folder=folder)


def check_local_model(folder: Path, *, sees: bool) -> None:
    """``InvalidInput`` for a folder whose model cannot be loaded, cannot chat, or cannot see a picture that it must."""
    config = read_json(folder / "config.json")
    for sentence in code_problems(config, folder / "config.json"):
        raise CheckpointError(sentence)
    for file in weight_files(folder):
        _check_weights(file)
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError(f"{folder} has no tokenizer.json; download it again")
    if not has_chat_template(folder):
        raise InvalidInput(
            f"--prompt_extend_model {folder} has no chat template: it continues texts and follows no instructions; "
            "give a model that was trained to answer (Instruct)"
        )
    if sees and not is_vision_model(config):
        raise InvalidInput(
            f"--prompt_extend_model {folder} reads text alone and cannot see --image, so what it adds could contradict "
            f"the picture; give a vision model such as {VISION_MODEL}, or leave --use_prompt_extend out"
        )


def _check_weights(file: Path) -> None:
    """CheckpointError for a safetensors file that is missing or not whole, by its header alone."""
    if file.is_file() and is_lfs_pointer(file):
        raise CheckpointError(f"{file} is a Git LFS pointer and not the weights; run `git lfs pull` in its folder")
    try:
        read_header(file)
    except Refused as error:
        raise CheckpointError(
            f"{file} cannot be used: {error}; download it again (only safetensors are read)"
        ) from None


def is_vision_model(config: dict[str, Any]) -> bool:
    """Whether a config.json describes a model that sees pictures."""
    return isinstance(config.get("vision_config"), dict)


def has_chat_template(folder: Path) -> bool:
    """Whether the tokenizer knows how a conversation is written."""
    if any((folder / name).is_file() for name in _TEMPLATES):
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and bool(read_json(settings).get("chat_template"))


def _cached(name: str) -> Path | None:
    """The folder in the cache of Hugging Face, if everything is there that its index names."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    is_whole = all(path.is_file() for path in (folder / "tokenizer.json", *weight_files(folder)))
    return folder if is_whole else None
