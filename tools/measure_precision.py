"""Measure what bfloat16 changes: the denoisers and umT5 in bfloat16 against float32, on the recorded official runs.

    python tools/measure_precision.py

The inputs and the tiny weights are those of tests/data; the weights are exact in bfloat16, so their rounding is not in
the figures. Denoisers: the first call of each expert in each recorded run, both branches. umT5: the recorded prompts,
with eager attention, which this project runs and which equals the official encoder bit for bit in bfloat16, and with
PyTorch's fused one. On the CPU, in seconds. Exit codes: 0; 2 for bad input; 1 for other failures.
"""

import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import UMT5Config, UMT5EncoderModel

from door import run_tool, tool_parser
from wan.commands import SOURCE_DIR
from wan.errors import CheckpointError
from wan.flags import Parser
from wan.instruments.bench.tables import markdown_table
from wan.loading.component import Component
from wan.loading.official_configs import denoiser_config, text_encoder_config
from wan.loading.official_keys import T5_RULES, T5_TIED, denoiser_key_map, key_map_by_rules, tie
from wan.loading.weights import SafetensorsWeights
from wan.models.devices import DTYPES
from wan.runs import write_json_atomic
from wan.runs.folders import refuse_existing

DATA = SOURCE_DIR / "tests" / "data"
CPU = torch.device("cpu")

# (recorded run, prefix of its tensors): (weights, key of their config.json in the manifest)
CALLS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("t2v_A14B_unipc", "high"): ("t2v-A14B_high", "t2v-A14B/high_noise_model"),
    ("t2v_A14B_unipc", "low"): ("t2v-A14B_low", "t2v-A14B/low_noise_model"),
    ("i2v_A14B_unipc", "high"): ("i2v-A14B_high", "i2v-A14B/high_noise_model"),
    ("i2v_A14B_unipc", "low"): ("i2v-A14B_low", "i2v-A14B/low_noise_model"),
    ("ti2v_5B_t2v_unipc", "dit"): ("ti2v-5B", "ti2v-5B"),
    ("ti2v_5B_i2v_unipc", "dit"): ("ti2v-5B", "ti2v-5B"),
    ("wan21_t2v_unipc", "dit"): ("t2v-A14B_low", "wan21_t2v-1.3B"),
    ("wan21_i2v_unipc", "dit"): ("wan21_i2v-14B", "wan21_i2v-14B"),
}
_ATTENTIONS = ("eager", "sdpa")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Absolute differences of an output from float32's; ``scale`` is the mean absolute value of float32's."""

    what: str
    mean: float
    largest: float
    scale: float


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    refuse_existing(args.output, flag="--output")
    rows = measure(DTYPES[args.dtype])
    print(format_rows(rows, args.dtype))
    if args.output:
        write_json_atomic(args.output, {"dtype": args.dtype, "rows": [asdict(row) for row in rows]})


def build_parser() -> Parser:
    parser = tool_parser("measure_precision.py", __doc__)
    lower = sorted(name for name, dtype in DTYPES.items() if dtype.itemsize < torch.float32.itemsize)
    parser.add_argument("--dtype", choices=lower, default="bfloat16", help="to compare with float32 (%(default)s)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    return parser


@torch.no_grad()
def measure(dtype: torch.dtype) -> list[Difference]:
    """The denoisers' differences, then umT5's."""
    if not (DATA / "manifest.json").is_file():
        raise CheckpointError(f"{DATA} has no recorded runs; run this in a clone of the project")
    return [*denoiser_differences(dtype), *text_differences(dtype)]


def denoiser_differences(dtype: torch.dtype) -> Iterator[Difference]:
    """One per recorded first call, over both branches."""
    configs = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))["dit_configs"]
    for (run, prefix), (weights, key) in CALLS.items():
        recorded = load_file(DATA / f"{run}.safetensors")
        component = _denoiser(weights, configs[key])
        exact, rounded = (
            _velocities(component.build(dtype=wanted, device=CPU), recorded, prefix, configs[key]["text_len"])
            for wanted in (torch.float32, dtype)
        )
        yield _difference(f"{run.removesuffix('_unipc')} {prefix}", rounded, exact)


def text_differences(dtype: torch.dtype) -> Iterator[Difference]:
    """One per kind of attention, over all recorded texts."""
    recorded = load_file(DATA / "t5.safetensors")
    exact = _embeddings("eager", torch.float32, recorded)
    rounded = {attention: _embeddings(attention, dtype, recorded) for attention in _ATTENTIONS}
    for attention, embeddings in rounded.items():
        yield _difference(f"umT5 {attention}", embeddings, exact)
    yield _difference("umT5 sdpa from umT5 eager, both rounded", rounded["sdpa"], rounded["eager"])


def format_rows(rows: Sequence[Difference], dtype: str) -> str:
    """A Markdown table, ready for docs/benchmarks.md."""
    columns = (f"{dtype} against float32", "mean abs difference", "largest", "mean abs value")
    cells = [[row.what, f"{row.mean:.1e}", f"{row.largest:.1e}", f"{row.scale:.2f}"] for row in rows]
    return "\n".join(markdown_table(columns, cells))


def _denoiser(weights: str, config: Mapping[str, Any]) -> Component[WanTransformer3DModel]:
    file = SafetensorsWeights([DATA / f"weights_dit_{weights}.safetensors"])
    return Component(
        place=str(DATA),
        make=functools.partial(WanTransformer3DModel, **denoiser_config(config, file.shapes)),
        weights=file,
        key_map=denoiser_key_map(file.shapes),
        keep_float32=WanTransformer3DModel._keep_in_fp32_modules,
    )


def _velocities(model: WanTransformer3DModel, recorded: Mapping[str, Tensor], prefix: str, text_len: int) -> Tensor:
    """Of both branches (2, C, F, h, w), float32."""
    channels = [recorded[f"{prefix}.x"], *([recorded["y"]] if "y" in recorded else [])]
    features = recorded.get("clip_fea")
    outputs = [
        model(
            torch.cat(channels)[None].to(model.dtype),
            recorded[f"{prefix}.t"],
            _padded(context, text_len).to(model.dtype),
            encoder_hidden_states_image=None if features is None else features.to(model.dtype),
            return_dict=False,
        )[0]
        for context in (recorded[f"{prefix}.context"], recorded["negative_embeds"])
    ]
    return torch.cat(outputs).float()


def _embeddings(attention: str, dtype: torch.dtype, recorded: Mapping[str, Tensor]) -> Tensor:
    """Of all true tokens of the recorded texts (tokens, D), float32."""
    file = SafetensorsWeights([DATA / "weights_t5.safetensors"])
    config = UMT5Config(**text_encoder_config(file.shapes))
    component = Component(
        place=str(DATA),
        make=functools.partial(UMT5EncoderModel._from_config, config, attn_implementation=attention),
        weights=file,
        key_map=tie(key_map_by_rules(file.shapes, T5_RULES), T5_TIED),
    )
    mask = recorded["mask"]
    output = component.build(dtype=dtype, device=CPU)(recorded["ids"], attention_mask=mask)
    return output.last_hidden_state[mask.bool()].float()


def _padded(embeddings: Tensor, length: int) -> Tensor:
    """Trimmed text embeddings (T, D) to (1, length, D), zeros at the end."""
    return torch.nn.functional.pad(embeddings, (0, 0, 0, length - embeddings.shape[0]))[None]


def _difference(what: str, rounded: Tensor, exact: Tensor) -> Difference:
    apart = (rounded - exact).abs()
    return Difference(what=what, mean=apart.mean().item(), largest=apart.max().item(), scale=exact.abs().mean().item())


if __name__ == "__main__":
    sys.exit(run_tool("measure_precision.py", main))
