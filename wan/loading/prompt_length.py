"""Whether a checkpoint's model reads the whole of a text, counted before any weight is read."""

from collections.abc import Mapping

from wan.loading.layouts import Checkpoint
from wan.prompt_text import Count, counter_of, cut_notice


def cut_notices(checkpoint: Checkpoint, texts: Mapping[str, str]) -> list[str]:
    """A notice for every text (by what it is called, such as "--prompt") that is longer than the model reads."""
    return notices_of(texts, count=counter_of(checkpoint.tokenizer_dir), text_len=checkpoint.text_len)


def notices_of(texts: Mapping[str, str], *, count: Count, text_len: int) -> list[str]:
    """The same, for tokens that are counted in another way."""
    found = (cut_notice(text, name=name, count=count, text_len=text_len) for name, text in texts.items())
    return [notice for notice in found if notice]
