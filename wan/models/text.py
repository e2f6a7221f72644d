"""Text: tokenising and umT5 encoding, as the official code does it."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from wan.prompt_text import clean_prompt


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A umT5 encoder and its tokenizer; ``text_len`` positions, zeros after the text's true length."""

    model: UMT5EncoderModel
    tokenizer: PreTrainedTokenizerBase
    text_len: int

    @torch.no_grad()
    def encode(self, text: str) -> Tensor:
        """(1, text_len, D): the encoder's output up to the true length including </s>, zero after it.

        The denoiser attends to all positions unmasked, so the number of zeros belongs to what it was trained with.
        """
        tokens = self.tokenizer(
            clean_prompt(text),
            padding="max_length",
            truncation=True,
            max_length=self.text_len,
            return_attention_mask=True,
            return_tensors="pt",
        ).to(self.model.device)
        hidden = self.model(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        return hidden * tokens.attention_mask.unsqueeze(-1).to(hidden.dtype)


def unknown_words(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """Words that the tokenizer has no piece for (only a closed vocabulary has any)."""
    unknown = tokenizer.unk_token_id
    words = re.findall(r"\w+", clean_prompt(text))
    return [word for word in words if unknown in tokenizer(word, add_special_tokens=False).input_ids]
