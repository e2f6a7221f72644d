"""What a LoRA file holds, by its header: which of its tensors belong together, and which parameter they change.

Names of diffusers and PEFT (``transformer.blocks.0.attn1.to_q.lora_A.weight``), of the official code and ComfyUI
(``diffusion_model.blocks.0.self_attn.q.lora_down.weight``) and of kohya (``lora_unet_blocks_0_self_attn_q.alpha``).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from wan.loading.denoiser_names import PartNames
from wan.untrusted.refusal import shown
from wan.untrusted.tensor_entry import WEIGHT_DTYPES, TensorEntry

Shapes = Mapping[str, tuple[int, ...]]
_PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "lora_unet__")
_FLAT_PREFIXES = ("lora_unet_", "lora_transformer_")
# ending of a tensor's name: what it is to its part
_ENDINGS: Mapping[str, str] = {
    ".lora_A.weight": "down",
    ".lora_A.default.weight": "down",
    ".lora_down.weight": "down",
    ".lora_B.weight": "up",
    ".lora_B.default.weight": "up",
    ".lora_up.weight": "up",
    ".lora_B.bias": "up_bias",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".diff_m": "diff_m",
}
_OTHER_KINDS: Mapping[str, str] = {
    r"\.lok(r|on)_|\.lokr_w": "LoKr",
    r"\.hada_w": "LoHa",
    r"\.dora_scale$|\.lora_magnitude_vector": "DoRA",
    r"\.oft_": "OFT",
    r"\.lora_mid\.": "LoCon with a middle matrix",
}
METADATA_KEY = "lora_adapter_metadata"
"""Under which diffusers notes rank and alpha."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Addition:
    """What a file adds to one parameter: the product of two narrow matrices, times alpha over rank where ``alpha`` is
    a tensor's name or a number; or ``difference``, a tensor of the parameter's own shape."""

    parameter: str
    down: str | None = None
    up: str | None = None
    alpha: str | float | None = None
    rank: int = 0
    difference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The tensors of a file about one part of a model, by what they are; ``module`` is its name in the file."""

    module: str
    tensors: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """``additions`` that fit a model, and a few words about each key that does not."""

    additions: tuple[Addition, ...]
    misfits: tuple[str, ...] = field(default=())


def parts_of(entries: Mapping[str, TensorEntry]) -> tuple[list[Part], list[str]]:
    """The parts that a file speaks of, and the keys that no LoRA here is made of."""
    parts: dict[str, dict[str, str]] = {}
    unknown = []
    for name in entries:
        ending = next((ending for ending in _ENDINGS if name.endswith(ending)), None)
        if ending is None:
            unknown.append(name)
        else:
            parts.setdefault(_without_prefix(name.removesuffix(ending)), {})[_ENDINGS[ending]] = name
    return [Part(module=module, tensors=tensors) for module, tensors in parts.items()], unknown


def other_kind(entries: Mapping[str, TensorEntry]) -> str | None:
    """What a file is instead of a LoRA as they are known here (LoKr, LoHa, DoRA, ...)."""
    for pattern, kind in _OTHER_KINDS.items():
        if any(re.search(pattern, name) for name in entries):
            return kind
    return None


def noted_alpha(metadata: Mapping[str, str]) -> tuple[float | None, str | None]:
    """(alpha for all parts by the notes of diffusers or PEFT, or why what they say is not known here)."""
    try:
        notes = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (ValueError, RecursionError):
        return None, f"its {METADATA_KEY} is not JSON"
    values = {name.rpartition(".")[2]: value for name, value in notes.items()} if isinstance(notes, dict) else {}
    for name in ("use_dora", "use_rslora", "alpha_pattern"):
        if values.get(name):
            return None, f"it was made with {name}, which is not known here"
    alpha = values.get("lora_alpha")
    return (float(alpha), None) if isinstance(alpha, int | float) else (None, None)


def fit(entries: Mapping[str, TensorEntry], shapes: Shapes, *, alpha: float | None = None) -> Fit:
    """What the tensors of a file add to a model with the parameters ``shapes`` (diffusers' names to shapes).

    ``alpha``: that of parts which have no tensor for it.
    """
    names, parts = PartNames(shapes), parts_of(entries)
    additions: list[Addition] = []
    misfits = [f"{shown(name)} is no part of a LoRA" for name in parts[1]]
    for part in parts[0]:
        for found in _additions(part, names, entries, shapes, alpha):
            if isinstance(found, str):
                misfits.append(found)
            else:
                additions.append(found)
    return Fit(additions=tuple(additions), misfits=tuple(misfits))


def _additions(
    part: Part, names: PartNames, entries: Mapping[str, TensorEntry], shapes: Shapes, alpha: float | None
) -> Iterator[Addition | str]:
    """The additions of one part, or words about a key that fits nothing."""
    held = dict(part.tensors)
    scale = held.pop("alpha", None)
    if scale is not None and entries[scale].elements != 1:
        yield f"{shown(scale)} of shape {list(entries[scale].shape)} is no single number"
    for name in held.values():
        if entries[name].dtype not in WEIGHT_DTYPES:
            yield f"{shown(name)} is {entries[name].dtype} and no floating-point number"
            return
    down, up, rank = held.pop("down", None), held.pop("up", None), 0
    if down is not None and up is not None:
        rank = entries[down].shape[0] if entries[down].shape else 0
        weight = names.parameter(part.module, ".weight")
        if reason := _pair_misfit(entries[down].shape, entries[up].shape, shapes.get(weight or "")):
            yield f"{shown(down)} {reason}"
        else:
            yield Addition(parameter=weight or "", down=down, up=up, rank=rank, alpha=scale or alpha)
    elif alone := down or up:
        yield f"{shown(alone)} stands alone, without the other matrix of its pair"
    for kind, name in held.items():
        yield _difference(kind, name, part.module, names, entries, shapes, rank, scale or alpha)


def _difference(
    kind: str,
    name: str,
    module: str,
    names: PartNames,
    entries: Mapping[str, TensorEntry],
    shapes: Shapes,
    rank: int,
    alpha: str | float | None,
) -> Addition | str:
    wanted = {"diff": ".weight", "diff_b": ".bias", "up_bias": ".bias"}
    parameter = (
        names.parameter(f"{module}.modulation", "") if kind == "diff_m" else names.parameter(module, wanted[kind])
    )
    if parameter is None:
        return f"{shown(name)} changes a part that this model does not have"
    given, own = entries[name].shape, shapes[parameter]
    if _significant(given) != _significant(own):
        return f"{shown(name)} has the shape {list(given)}, and {parameter} has {list(own)}"
    if kind == "up_bias" and rank:  # scaled as the product that it belongs to
        return Addition(parameter=parameter, difference=name, rank=rank, alpha=alpha)
    return Addition(parameter=parameter, difference=name)


def _pair_misfit(down: tuple[int, ...], up: tuple[int, ...], own: tuple[int, ...] | None) -> str | None:
    """Why a pair of shapes does not fit a weight of shape ``own``."""
    if own is None:
        return "changes a part that this model does not have"
    if len(down) < 2 or len(up) < 2 or prod(up[1:]) != down[0]:
        return f"of shape {list(down)} and its partner of shape {list(up)} are no pair"
    if up[0] != own[0] or prod(down[1:]) != prod(own[1:]):
        return f"makes a change of {up[0]} x {prod(down[1:])}, and the weight has {own[0]} x {prod(own[1:])}"
    return None


def _significant(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for prefix in _FLAT_PREFIXES:
        if "." not in name:
            name = name.removeprefix(prefix)
    return name
