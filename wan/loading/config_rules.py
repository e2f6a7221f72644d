"""What the values of each component's config.json may be: a model is made from these alone, and never from nonsense."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wan.untrusted.refusal import shown

_Config = Mapping[str, Any]
MAX_LAYERS = 256
_WIDTH = 2**16


@dataclass(frozen=True, slots=True)
class Rule:
    """``wants`` completes "NAME is VALUE, and it must be ..."."""

    wants: str
    holds: Callable[[Any], bool]
    is_required: bool = False


def whole(low: int, high: int, *, required: bool = False) -> Rule:
    """A whole number between two, both included."""
    return Rule(f"a whole number from {low} to {high}", lambda value: _is_whole(value, low, high), required)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_small(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value) and 0.0 < value <= 0.1


def _list_of(rule: Rule, length: tuple[int, int]) -> Rule:
    low, high = length
    count = str(low) if low == high else f"{low} to {high}"
    return Rule(
        f"a list of {count} values, each {rule.wants}",
        lambda value: isinstance(value, list) and low <= len(value) <= high and all(map(rule.holds, value)),
    )


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.wants}, or null", lambda value: value is None or rule.holds(value))


def _one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda value: isinstance(value, str) and value in words)


_EPS = Rule("a small positive number, at most 0.1", _is_small)
_NEEDED_EPS = Rule(_EPS.wants, _EPS.holds, is_required=True)
_SHARE = Rule(
    "a number from 0 to 1",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0,
)
_YES_NO = Rule("true or false", lambda value: isinstance(value, bool))
_STATISTIC = Rule(
    "a finite number",
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e4,
)
_SPREAD = Rule("a positive number", lambda value: _STATISTIC.holds(value) and value > 0)
_LAYERS, _NEEDED_LAYERS = whole(1, MAX_LAYERS), whole(1, MAX_LAYERS, required=True)
_PATCH = _list_of(whole(1, 8), (3, 3))
_TEXT_LEN = whole(1, 4096)

OFFICIAL_DENOISER: Mapping[str, Rule] = {
    "dim": whole(2, _WIDTH, required=True),
    "eps": _NEEDED_EPS,
    "ffn_dim": whole(1, 16 * _WIDTH, required=True),
    "freq_dim": whole(2, _WIDTH, required=True),
    "in_dim": whole(1, 1024, required=True),
    "num_heads": whole(1, 1024, required=True),
    "num_layers": _NEEDED_LAYERS,
    "out_dim": whole(1, 1024, required=True),
    "text_len": _TEXT_LEN,
    "text_dim": whole(1, _WIDTH),
    "patch_size": _PATCH,
}
DENOISER: Mapping[str, Rule] = {
    "attention_head_dim": whole(2, 4096, required=True),
    "ffn_dim": whole(1, 16 * _WIDTH, required=True),
    "in_channels": whole(1, 1024, required=True),
    "num_attention_heads": whole(1, 1024, required=True),
    "num_layers": _NEEDED_LAYERS,
    "out_channels": whole(1, 1024),
    "text_dim": whole(1, _WIDTH),
    "freq_dim": whole(2, _WIDTH),
    "eps": _EPS,
    "patch_size": _PATCH,
    "rope_max_seq_len": whole(1, 2**16),
    "cross_attn_norm": _YES_NO,
    "qk_norm": _or_null(_one_of("rms_norm_across_heads", "rms_norm", "layer_norm")),
    "image_dim": _or_null(whole(1, _WIDTH)),
    "added_kv_proj_dim": _or_null(whole(1, _WIDTH)),
    "pos_embed_seq_len": _or_null(whole(1, 4096)),
    "text_len": _TEXT_LEN,
}
VAE: Mapping[str, Rule] = {
    "base_dim": whole(1, 4096),
    "decoder_base_dim": _or_null(whole(1, 4096)),
    "z_dim": whole(1, 1024),
    "dim_mult": _list_of(whole(1, 64), (1, 8)),
    "num_res_blocks": whole(0, 16),
    "attn_scales": _list_of(_SHARE, (0, 8)),
    "temperal_downsample": _list_of(_YES_NO, (0, 8)),
    "dropout": _SHARE,
    "latents_mean": _list_of(_STATISTIC, (1, 1024)),
    "latents_std": _list_of(_SPREAD, (1, 1024)),
    "is_residual": _YES_NO,
    "in_channels": whole(1, 1024),
    "out_channels": whole(1, 1024),
    "patch_size": _or_null(whole(1, 16)),
    "scale_factor_temporal": _or_null(whole(1, 64)),
    "scale_factor_spatial": _or_null(whole(1, 256)),
}
TEXT_ENCODER: Mapping[str, Rule] = {
    "vocab_size": whole(1, 2**22, required=True),
    "d_model": whole(1, _WIDTH, required=True),
    "d_kv": whole(1, 4096, required=True),
    "d_ff": whole(1, 16 * _WIDTH, required=True),
    "num_layers": _NEEDED_LAYERS,
    "num_heads": whole(1, 1024, required=True),
    "relative_attention_num_buckets": whole(2, 4096),
    "relative_attention_max_distance": whole(2, 2**16),
    "feed_forward_proj": _one_of("gated-gelu", "gated-silu", "relu", "gelu", "gelu_new"),
    "layer_norm_epsilon": _EPS,
    "dropout_rate": _SHARE,
}
IMAGE_ENCODER: Mapping[str, Rule] = {
    "hidden_size": whole(1, _WIDTH, required=True),
    "intermediate_size": whole(1, 16 * _WIDTH, required=True),
    "num_hidden_layers": _NEEDED_LAYERS,
    "num_attention_heads": whole(1, 1024, required=True),
    "num_channels": whole(1, 16),
    "image_size": whole(1, 4096, required=True),
    "patch_size": whole(1, 1024, required=True),
    "hidden_act": _one_of("gelu", "quick_gelu", "gelu_new", "relu", "silu"),
    "layer_norm_eps": _EPS,
}


def value_problems(config: _Config, rules: Mapping[str, Rule]) -> Iterator[str]:
    """A clause for each value that no model can have ("num_layers is 0, and it must be ..."), missing ones first."""
    if absent := [name for name, rule in rules.items() if rule.is_required and name not in config]:
        yield f"lacks the numbers {', '.join(absent)}"
    for name, rule in rules.items():
        if name in config and not rule.holds(config[name]):
            value = config[name]
            written = repr(shown(value)) if isinstance(value, str) else shown(value)
            yield f"has {name} {written}, and it must be {rule.wants}"


def known_values(config: _Config, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """The values that a rule speaks of; the rest of a config.json is notes for others and goes into no model."""
    return {name: value for name, value in config.items() if name in rules}


def fit_problems(config: _Config) -> Iterator[str]:
    """Clauses about values that are possible one by one and not together; for values that kept their rules."""
    width = config.get("dim", config.get("hidden_size"))
    heads = config.get("num_heads", config.get("num_attention_heads"))
    if width is not None and heads is not None and "d_model" not in config and width % heads:
        yield f"has {heads} heads, which do not divide its width {width}"
    head_width = config.get("attention_head_dim") or (width // heads if width and heads and "dim" in config else None)
    if head_width is not None and (head_width % 2 or head_width < 6):
        yield f"has heads of width {head_width}, and it must be even and at least 6 (positions in three directions)"
    if config.get("freq_dim", 2) % 2:
        yield f"has freq_dim {config['freq_dim']}, and it must be even"
    multipliers, halvings = config.get("dim_mult"), config.get("temperal_downsample")
    if multipliers is not None and halvings is not None and len(halvings) != len(multipliers) - 1:
        yield f"has {len(multipliers)} stages and {len(halvings)} steps between them, and there is one step fewer"
    for name in ("latents_mean", "latents_std"):
        if name in config and len(config[name]) != config.get("z_dim", 16):
            yield f"has {len(config[name])} values in {name} for {config.get('z_dim', 16)} latent channels"
