"""Random Qwen models of a few hundred kilobytes, text and vision, with a tokenizer of bytes and a chat template."""

from pathlib import Path

import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTES = sorted(bytes_to_unicode().values())
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
START, END, VISION_START, VISION_END, IMAGE, VIDEO = range(len(BYTES), len(BYTES) + len(SPECIAL))
# the model writes small letters and spaces, and ends
WRITTEN = {END, *(BYTES.index(character) for character in "abcdefghijklmnopqrstuvwxyzĠ")}
VOCABULARY = len(BYTES) + len(SPECIAL)
TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH, HEADS = 32, 2


def make_text_model(folder: Path) -> Path:
    """A Qwen2 that answers with random letters until it is told to end; returns the folder."""
    torch.manual_seed(0)
    config = Qwen2Config(**_text_sizes(), bos_token_id=START, eos_token_id=END)
    return _save(Qwen2ForCausalLM(config), folder)


def make_vision_model(folder: Path) -> Path:
    """A Qwen2.5-VL of the same kind, with patches of 4 pixels."""
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=_text_sizes()
        | {"bos_token_id": START, "eos_token_id": END}
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
    )
    Qwen2VLImageProcessorPil(
        patch_size=4, temporal_patch_size=2, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
    ).save_pretrained(folder)
    return _save(Qwen2_5_VLForConditionalGeneration(config), folder)


def _text_sizes() -> dict[str, int]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 4096,
    }


def _save(model: torch.nn.Module, folder: Path) -> Path:
    with torch.no_grad():  # larger weights, so that different words before give different words after
        for parameter in model.parameters():
            parameter.mul_(10.0 if parameter.ndim > 1 else 1.0)
    model.generation_config.update(  # type: ignore[union-attr]
        eos_token_id=END,
        pad_token_id=END,
        forced_eos_token_id=END,
        min_new_tokens=30,
        suppress_tokens=sorted(set(range(VOCABULARY)) - WRITTEN),
    )
    model.save_pretrained(folder)  # type: ignore[operator]
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> Qwen2Tokenizer:
    made = Qwen2Tokenizer(
        vocab={character: number for number, character in enumerate([*BYTES, *SPECIAL])},
        merges=[],
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens=SPECIAL,
    )
    made.chat_template = TEMPLATE
    assert made.convert_tokens_to_ids(SPECIAL) == list(range(START, VOCABULARY))
    return made
