"""What a model reads of a prompt: its text cleaned as the official code does it, and whether all of it is read."""

import html
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


Count = Callable[[str], int | None]


def clean_prompt(text: str) -> str:
    """Mend the encoding (full-width commas become ASCII ones), unescape HTML twice, collapse white space."""
    import ftfy  # only here: most commands clean no prompt

    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", text).strip()


def cut_notice(text: str, *, name: str, count: Count, text_len: int) -> str | None:
    """What to know of a text with more tokens than a model reads; None when it reads all.

    ``name`` is what the text is called ("--prompt"), ``count`` gives the tokens of a cleaned text, with the mark of the
    end, or None. A token has a byte at least, so short texts are not counted.
    """
    cleaned = clean_prompt(text)
    if len(cleaned.encode("utf-8", errors="replace")) < text_len - 2:  # two marks: of a beginning and of the end
        return None
    tokens = count(cleaned)
    if tokens is None or tokens <= text_len:
        return None
    return (
        f"{name} has {tokens} tokens and the model reads {text_len}, one of them the mark of the end: what comes "
        f"after the first {text_len - 1} is cut off"
    )


def counter_of(tokenizer_dir: Path) -> Count:
    """Counts tokens without a model library; None for a file that is no tokenizer (the checkpoint's checks say so)."""

    def count(text: str) -> int | None:
        tokenizer = _tokenizer(tokenizer_dir / "tokenizer.json")
        return None if tokenizer is None else len(tokenizer.encode(text).ids)

    return count


@lru_cache(maxsize=2)
def _tokenizer(path: Path) -> "Tokenizer | None":
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # noqa: BLE001 - the library raises this very class
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
