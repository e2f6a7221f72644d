"""Text embeddings on disk: a known prompt needs no text encoder."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from wan.errors import InvalidInput
from wan.loading.fingerprint import fingerprint
from wan.loading.layouts import Checkpoint
from wan.loading.models import text_encoder_files
from wan.prompt_text import clean_prompt
from wan.runs.atomic import atomic_path

_KEY = "embeddings"
Encode = Callable[[str], Tensor]


class TextCache:
    """One file per text, named after the encoder's and tokenizer's files, the dtype, the length and the text."""

    def __init__(self, folder: Path, checkpoint: Checkpoint, *, dtype: torch.dtype) -> None:
        """``InvalidInput`` when the folder cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"--text_cache {folder} cannot be made a folder ({error.strerror or error}); give another one"
            ) from error
        self._folder = folder
        files = [*text_encoder_files(checkpoint), *_files_in(checkpoint.tokenizer_dir)]
        self._made_by = [fingerprint(file) for file in files] + [str(dtype), str(checkpoint.text_len)]

    def __contains__(self, text: str) -> bool:
        return self._path(text).is_file()

    def look_up(self, text: str, encode: Encode) -> Tensor:
        """Embeddings (1, text_len, D): from the folder, or by ``encode`` and then into the folder."""
        if text in self:
            return self._read(self._path(text))
        embeddings = encode(text)
        with atomic_path(self._path(text)) as temporary:
            temporary.write_bytes(save({_KEY: embeddings.cpu().contiguous()}))
        return embeddings

    def _path(self, text: str) -> Path:
        identity = json.dumps([*self._made_by, clean_prompt(text)])
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()}.safetensors"

    def _read(self, path: Path) -> Tensor:
        try:
            return load(path.read_bytes())[_KEY]
        except (SafetensorError, KeyError) as error:
            raise InvalidInput(f"{path} in --text_cache is damaged ({error}); delete that file") from error


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
