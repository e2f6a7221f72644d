"""The tiny umT5 encoder, its word-level tokenizer, and how captions are worded and padded during training."""

from __future__ import annotations

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from wan.demo_world.words import MOTIONS, Combination, vocabulary

TEXT_LENGTH = 512  # what Wan2.2 and diffusers' WanPipeline pad to by default
COMPACT_LENGTH = 12  # the longest caption has 9 words and </s>; the last position stands for all other zeros
TEXT_DIM = 96
SPECIAL = ("<pad>", "</s>", "<unk>")


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Lower-cased words of the closed vocabulary, </s> at the end, <unk> for any other word."""
    words = {word: index for index, word in enumerate((*SPECIAL, *vocabulary()))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[^\w]+"), behavior="removed")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        padding_side="right",
        model_max_length=TEXT_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def make_text_encoder(vocabulary_size: int) -> UMT5EncoderModel:
    """A 2-layer umT5 encoder without dropout."""
    config = UMT5Config(
        vocab_size=vocabulary_size,
        d_model=TEXT_DIM,
        d_kv=24,
        d_ff=192,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
    )
    return UMT5EncoderModel(config)


def encode_compact(encoder: UMT5EncoderModel, tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> torch.Tensor:
    """Captions -> (B, COMPACT_LENGTH, TEXT_DIM), zero after the true length."""
    tokens = tokenizer(
        captions, padding="max_length", truncation=True, max_length=COMPACT_LENGTH - 1, return_tensors="pt"
    ).to(encoder.device)
    hidden = encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    hidden = hidden * tokens.attention_mask[..., None].to(hidden.dtype)
    return torch.nn.functional.pad(hidden, (0, 0, 0, 1))


def compact_key_bias() -> torch.Tensor:
    """(COMPACT_LENGTH,) added to the logits: the last zero counts for every zero position that was left out."""
    bias = torch.zeros(COMPACT_LENGTH)
    bias[-1] = torch.tensor(float(TEXT_LENGTH - COMPACT_LENGTH + 1)).log()
    return bias


def caption_for_training(combination: Combination, *, generator: torch.Generator) -> str:
    """The full caption mostly; sometimes a partial or empty one, or one with unknown words (for guidance)."""
    draw = float(torch.rand((), generator=generator))
    subject = f"a {combination.colour} {combination.shape}"
    if draw < 0.10:
        return ""
    if draw < 0.13:
        return f"{subject} {MOTIONS[combination.motion]}"
    if draw < 0.16:
        return f"{subject} on a {combination.background} background"
    words = combination.caption().split()
    if draw < 0.18:
        lost = torch.rand(len(words), generator=generator) < 0.3
        words = ["<unk>" if drop else word for word, drop in zip(words, lost.tolist(), strict=True)]
    return " ".join(words)
