"""Text embeddings of one checkpoint: the encoder is read when a text needs it, and a cache can spare it."""

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from wan.loading.component import WHOLE, Spread
from wan.loading.layouts import Checkpoint
from wan.loading.models import load_text_encoder, load_tokenizer
from wan.loading.text_cache import Encode, TextCache
from wan.models.text import TextEncoder


class Lookup(Protocol):
    """Embeddings of a text from somewhere, or by encoding it."""

    def look_up(self, text: str, encode: Encode) -> Tensor:
        """Embeddings (1, text_len, D)."""


class NoCache:
    """Every text is encoded."""

    def look_up(self, text: str, encode: Encode) -> Tensor:
        return encode(text)


class TextSource:
    """The tokenizer, and umT5 when it is needed."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        dtype: torch.dtype,
        device: torch.device,
        cache_dir: Path | None,
        spread: Spread = WHOLE,
        reads_at_once: bool = True,
    ) -> None:
        """Without a cache the encoder is read at once; ``InvalidInput`` when the cache's folder cannot be made.

        ``reads_at_once`` False: when the first text needs it.
        """
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(checkpoint)
        self.text_len = checkpoint.text_len
        self._checkpoint = checkpoint
        self._dtype = dtype
        self._device = device
        self._spread = spread
        self._cache: Lookup = TextCache(cache_dir, checkpoint, dtype=dtype) if cache_dir else NoCache()
        self._encoder: TextEncoder | None = self._load() if reads_at_once and not cache_dir else None

    def count(self, text: str) -> int:
        """Tokens of a cleaned text, all of them, with the mark of the end."""
        return len(self.tokenizer(text, truncation=False, verbose=False).input_ids)

    def embed(self, text: str) -> Tensor:
        """Embeddings (1, text_len, D), zero after the text's true length."""
        return self._cache.look_up(text, self._encode)

    def drop(self) -> None:
        """Free the encoder; the next text that needs it reads it again."""
        self._encoder = None

    def _encode(self, text: str) -> Tensor:
        self._encoder = self._encoder or self._load()
        return self._encoder.encode(text)

    def _load(self) -> TextEncoder:
        return load_text_encoder(
            self._checkpoint, self.tokenizer, dtype=self._dtype, device=self._device, spread=self._spread
        )
