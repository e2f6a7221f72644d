"""Where each parameter of diffusers' and transformers' models is in an official checkpoint: tables of rules."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of the checkpoint, or one of the ``parts`` equal parts of its first axis."""

    name: str
    part: int = 0
    parts: int = 1

    def pick(self, tensor: Tensor) -> Tensor:
        return tensor.chunk(self.parts)[self.part]


Rule = tuple[str, str | tuple[str, ...]]
"""(pattern, replacement) as in ``re.sub``; several replacements split the tensor among them, in that order."""

KeyMap = Mapping[str, Source]
"""Parameter name of the model to where it is."""

_LAYER = r"encoder.block.\1.layer"

T5_RULES: Sequence[Rule] = (
    (r"^token_embedding\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.(\d+)\.norm1\.", rf"{_LAYER}.0.layer_norm."),
    (r"^blocks\.(\d+)\.attn\.", rf"{_LAYER}.0.SelfAttention."),
    (r"^blocks\.(\d+)\.pos_embedding\.embedding\.", rf"{_LAYER}.0.SelfAttention.relative_attention_bias."),
    (r"^blocks\.(\d+)\.norm2\.", rf"{_LAYER}.1.layer_norm."),
    (r"^blocks\.(\d+)\.ffn\.gate\.0\.", rf"{_LAYER}.1.DenseReluDense.wi_0."),
    (r"^blocks\.(\d+)\.ffn\.fc1\.", rf"{_LAYER}.1.DenseReluDense.wi_1."),
    (r"^blocks\.(\d+)\.ffn\.fc2\.", rf"{_LAYER}.1.DenseReluDense.wo."),
)
# one matrix under two names in transformers' model
T5_TIED = {"encoder.embed_tokens.weight": "shared.weight"}

_VAE_COMMON: Sequence[Rule] = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"coder\.conv1\.", "coder.conv_in."),
    (r"\.head\.0\.", ".norm_out."),
    (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"\.residual\.0\.", ".norm1."),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
# The 2.1 decoder counts its layers through: three residual blocks and one upsampler per stage, but for the last.
VAE_21_RULES: Sequence[Rule] = (
    *_VAE_COMMON,
    (r"^encoder\.downsamples\.", "encoder.down_blocks."),
    *(
        (rf"^decoder\.upsamples\.{4 * stage + layer}\.", f"decoder.up_blocks.{stage}.{place}.")
        for stage in range(4)
        for layer, place in enumerate(("resnets.0", "resnets.1", "resnets.2", "upsamplers.0"))
    ),
)
VAE_22_RULES: Sequence[Rule] = (
    *_VAE_COMMON,
    (
        r"^encoder\.downsamples\.(\d+)\.downsamples\.\d+\.(resample|time_conv)\.",
        r"encoder.down_blocks.\1.downsampler.\2.",
    ),
    (r"^encoder\.downsamples\.(\d+)\.downsamples\.", r"encoder.down_blocks.\1.resnets."),
    (r"^decoder\.upsamples\.(\d+)\.upsamples\.\d+\.(resample|time_conv)\.", r"decoder.up_blocks.\1.upsampler.\2."),
    (r"^decoder\.upsamples\.(\d+)\.upsamples\.", r"decoder.up_blocks.\1.resnets."),
)

_CLIP_LAYER = r"encoder.layers.\1"

CLIP_RULES: Sequence[Rule] = (
    (r"^visual\.cls_embedding$", "embeddings.class_embedding"),
    (r"^visual\.pos_embedding$", "embeddings.position_embedding.weight"),
    (r"^visual\.patch_embedding\.", "embeddings.patch_embedding."),
    (r"^visual\.pre_norm\.", "pre_layrnorm."),
    (r"^visual\.post_norm\.", "post_layernorm."),
    (r"^visual\.transformer\.(\d+)\.norm1\.", rf"{_CLIP_LAYER}.layer_norm1."),
    (r"^visual\.transformer\.(\d+)\.norm2\.", rf"{_CLIP_LAYER}.layer_norm2."),
    (
        r"^visual\.transformer\.(\d+)\.attn\.to_qkv\.",
        (rf"{_CLIP_LAYER}.self_attn.q_proj.", rf"{_CLIP_LAYER}.self_attn.k_proj.", rf"{_CLIP_LAYER}.self_attn.v_proj."),
    ),
    (r"^visual\.transformer\.(\d+)\.attn\.proj\.", rf"{_CLIP_LAYER}.self_attn.out_proj."),
    (r"^visual\.transformer\.(\d+)\.mlp\.0\.", rf"{_CLIP_LAYER}.mlp.fc1."),
    (r"^visual\.transformer\.(\d+)\.mlp\.2\.", rf"{_CLIP_LAYER}.mlp.fc2."),
)
# the text tower, its temperature, and the projection into the space that both towers share
CLIP_UNUSED = r"^textual\.|^log_scale$|^visual\.head$"


def key_map_by_rules(names: Iterable[str], rules: Sequence[Rule], *, unused: str | None = None) -> dict[str, Source]:
    """Apply the rules to every checkpoint name that does not match ``unused``; what no rule knows keeps its name."""
    key_map: dict[str, Source] = {}
    for name in names:
        if unused is None or not re.search(unused, name):
            targets = _rename(name, rules)
            key_map |= {target: Source(name, part, len(targets)) for part, target in enumerate(targets)}
    return key_map


def tie(key_map: KeyMap, ties: Mapping[str, str]) -> dict[str, Source]:
    """Give each tied parameter the source of its twin, unless the checkpoint stores both."""
    return {**{target: key_map[twin] for target, twin in ties.items() if twin in key_map}, **key_map}


def denoiser_key_map(names: Iterable[str]) -> dict[str, Source]:
    """By diffusers' own conversion, which only renames; it gets names in place of tensors (and empties the dict)."""
    renamed: dict[str, str] = convert_wan_transformer_to_diffusers({name: name for name in names})
    return {target: Source(name) for target, name in renamed.items()}


def _rename(name: str, rules: Sequence[Rule]) -> tuple[str, ...]:
    targets: tuple[str, ...] = (name,)
    for pattern, replacement in rules:
        replacements = (replacement,) if isinstance(replacement, str) else replacement
        if re.search(pattern, targets[0]):
            targets = tuple(re.sub(pattern, template, targets[0]) for template in replacements)
    return targets
