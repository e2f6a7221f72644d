"""Text embeddings on disk: a known prompt needs no text encoder."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wan.errors import InvalidInput
from wan.loading.fingerprint import fingerprint
from wan.loading.layouts import Checkpoint
from wan.loading.models import text_encoder_files
from wan.prompt_text import clean_prompt
from wan.runs.atomic import atomic_path
from wan.untrusted.refusal import MALFORMED, Refused, reason_of
from wan.untrusted.safetensors_header import read_header
from wan.untrusted.tensor_entry import WEIGHT_DTYPES

_LIBRARY_ERRORS: tuple[type[Exception], ...] = (SafetensorError, *MALFORMED)
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
        self._folder, self._text_len = folder, checkpoint.text_len
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
            entry = read_header(path).tensors[_KEY]
            if entry.dtype not in WEIGHT_DTYPES or entry.shape[:2] != (1, self._text_len) or len(entry.shape) != 3:
                raise Refused(f"it holds {entry.dtype} {list(entry.shape)}")
            with safe_open(path, framework="pt") as file:
                embeddings: Tensor = file.get_tensor(_KEY)
            if not torch.isfinite(embeddings).all():
                raise Refused("it holds values that are not finite")
        except _LIBRARY_ERRORS as error:
            raise InvalidInput(f"{path} in --text_cache is damaged ({reason_of(error)}); delete that file") from error
        return embeddings


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())
