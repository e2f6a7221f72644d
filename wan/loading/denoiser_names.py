"""The two names of every part of a denoiser: the official one and that of diffusers, and the way from any to ours.

The same table as diffusers' own conversion of a checkpoint (a test compares them), but without importing it, so that a
dry run can read the names in a file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

_BLOCK = re.compile(r"(blocks\.\d+)\.(.+)")
_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0", "norm_q": "norm_q", "norm_k": "norm_k"}
_IMAGE = {"k_img": "add_k_proj", "v_img": "add_v_proj", "norm_k_img": "norm_added_k"}
_IN_BLOCKS: Mapping[str, str] = {
    **{f"self_attn.{official}": f"attn1.{ours}" for official, ours in _ATTENTION.items()},
    **{f"cross_attn.{official}": f"attn2.{ours}" for official, ours in (_ATTENTION | _IMAGE).items()},
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
    "norm3": "norm2",
    "modulation": "scale_shift_table",
}
_OUTSIDE: Mapping[str, str] = {
    "patch_embedding": "patch_embedding",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
    "time_embedding.0": "condition_embedder.time_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "head.head": "proj_out",
    "head.modulation": "scale_shift_table",
    "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
    "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
}
_ENDS = (".weight", ".bias")


def parameter_name(official: str) -> str:
    """The name in diffusers of a parameter with an official name; a name that is no official one stays as it is."""
    module, end = _split(official)
    if found := _BLOCK.fullmatch(module):
        return f"{found[1]}.{_IN_BLOCKS.get(found[2], found[2])}{end}"
    return _OUTSIDE.get(module, module) + end


def with_official_names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters with names of diffusers, under their official names, too."""
    found = dict(shapes)
    for name, shape in shapes.items():
        module, end = _split(name)
        found |= {official + end: shape for official in _official(module)}
    return found


class PartNames:
    """Finds the parameters of one model by whatever name a file has for them. ``parameters``: diffusers' names."""

    def __init__(self, parameters: Iterable[str]) -> None:
        self._parameters = frozenset(parameters)
        self._flat: dict[str, str] = {}
        for name in self._parameters:
            module = _split(name)[0]
            for alias in (module, *_official(module)):
                self._flat.setdefault(alias.replace(".", "_"), module)

    def parameter(self, module: str, end: str) -> str | None:
        """The parameter ``end`` (".weight", ".bias", or "" for one that is its own part) of a part that is named with
        dots, officially or as in diffusers, or with underscores; None where this model has none."""
        for name in (module + end, parameter_name(module + end)):
            if name in self._parameters:
                return name
        known = self._flat.get(module)
        return known + end if known is not None and known + end in self._parameters else None


def _official(module: str) -> Iterator[str]:
    """The official names of a part with a name of diffusers."""
    if found := _BLOCK.fullmatch(module):
        yield from (f"{found[1]}.{official}" for official, ours in _IN_BLOCKS.items() if ours == found[2])
    else:
        yield from (official for official, ours in _OUTSIDE.items() if ours == module)


def _split(name: str) -> tuple[str, str]:
    end = next((end for end in _ENDS if name.endswith(end)), "")
    return name.removesuffix(end), end
