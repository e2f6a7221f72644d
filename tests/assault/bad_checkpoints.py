"""More than two hundred broken checkpoints: a name, the whole checkpoint that is broken, and what breaks it."""

import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tests.assault import harm
from tests.assault.harm import Harm

OFFICIAL, SINGLE, DIFFUSERS, WITH_IMAGE = "official", "single", "diffusers", "with_image"
SHARD = "high_noise_model/diffusion_pytorch_model-00002-of-00003.safetensors"
INDEX = "high_noise_model/diffusion_pytorch_model.safetensors.index.json"
CONFIG, LOW_CONFIG = "high_noise_model/config.json", "low_noise_model/config.json"
VAE_PTH, T5_PTH = "Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"
TOKENIZER = "google/umt5-xxl/tokenizer.json"
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@dataclass(frozen=True, slots=True)
class Case:
    """``base``: which whole checkpoint is copied and broken."""

    name: str
    base: str
    harm: Harm


def all_cases() -> list[Case]:
    """Every broken checkpoint."""
    made = [*_headers(), *_contents(), *_foreign(), *_indices(), *_links(), *_configs(), *_diffusers(), *_tokenizers()]
    made += [*_pickles(), *_folders()]
    assert len({case.name for case in made}) == len(made)
    return made


def _cases(group: str, base: str, table: Mapping[str, Harm]) -> Iterator[Case]:
    yield from (Case(f"{group}: {name}", base, breaks) for name, breaks in table.items())


def _headers() -> Iterator[Case]:
    first, big = harm.first_entry, (2**62).to_bytes(8, "little")
    table: dict[str, Harm] = {
        "empty": harm.content(SHARD, b""),
        "seven bytes": harm.content(SHARD, b"1234567"),
        "length 2**62": harm.edited(SHARD, lambda old: big + old[8:]),
        "length beyond the file": harm.edited(SHARD, lambda old: len(old).to_bytes(8, "little") + old[8:]),
        "length 0": harm.edited(SHARD, lambda old: bytes(8) + old[8:]),
        "length one less": harm.edited(
            SHARD, lambda old: (int.from_bytes(old[:8], "little") - 9).to_bytes(8, "little") + old[8:]
        ),
        "length of 200 MB": harm.edited(SHARD, lambda old: (200 * 10**6).to_bytes(8, "little") + old[8:]),
        "no brace": harm.raw_header(SHARD, lambda text: b" " + text),
        "cut by a byte": harm.edited(SHARD, lambda old: old[:-1]),
        "cut in half": harm.cut(SHARD, 0.5),
        "cut in the header": harm.edited(SHARD, lambda old: old[:100]),
        "bytes after the end": harm.edited(SHARD, lambda old: old + b"more"),
        "overlap": harm.header(SHARD, _overlap),
        "gap": harm.header(SHARD, _shift),
        "offsets beyond the file": first(SHARD, data_offsets=[2**40, 2**40 + 4]),
        "offsets negative": first(SHARD, data_offsets=[-4, 0]),
        "offsets reversed": first(SHARD, data_offsets=[8, 4]),
        "offsets fractional": first(SHARD, data_offsets=[0.0, 4.0]),
        "offsets text": first(SHARD, data_offsets=["0", "4"]),
        "offsets true": first(SHARD, data_offsets=[False, True]),
        "one offset": first(SHARD, data_offsets=[0]),
        "offsets null": first(SHARD, data_offsets=None),
        "dtype unknown": first(SHARD, dtype="F99"),
        "dtype number": first(SHARD, dtype=32),
        "dtype missing": first(SHARD, dtype=None),
        "dtype twice as wide": first(SHARD, dtype="F64"),
        "shape negative": first(SHARD, shape=[-1, -64]),
        "shape text": first(SHARD, shape=["64"]),
        "shape huge": first(SHARD, shape=[2**62, 4]),
        "shape nested": first(SHARD, shape=[[64]]),
        "shape fractional": first(SHARD, shape=[64.0]),
        "shape of 1000 axes": first(SHARD, shape=[1] * 1000),
        "a field too many": first(SHARD, code="print"),
        "entry null": harm.header(SHARD, lambda entries: entries | {"x": None}),
        "tensor twice": harm.raw_header(SHARD, lambda text: text.rstrip()[:-1] + b"," + text.strip()[1:]),
        "not UTF-8": harm.raw_header(SHARD, lambda text: text.replace(b"blocks", b"bl\xff\xfeks", 1)),
        "byte order mark": harm.raw_header(SHARD, lambda text: b"\xef\xbb\xbf" + text),
        "nested 100000 deep": harm.raw_header(SHARD, lambda text: DEEP),
        "a list": harm.raw_header(SHARD, lambda text: b"[]"),
        "metadata of numbers": harm.header(SHARD, lambda entries: {**entries, "__metadata__": {"format": 1}}),
        "metadata a list": harm.header(SHARD, lambda entries: {**entries, "__metadata__": []}),
        "a number of 10000 digits": harm.raw_header(SHARD, lambda text: b'{"a":' + b"9" * 10_000 + b"}"),
        "no tensors": harm.content(SHARD, b"\x02\0\0\0\0\0\0\0{}"),
        **{f"bit flipped at {place}": harm.flipped(SHARD, place) for place in range(1, 1200, 37)},
    }
    yield from _cases("header", OFFICIAL, table)


def _overlap(entries: dict[str, dict[str, list[int]]]) -> None:
    names = sorted(set(entries) - {"__metadata__"}, key=lambda name: entries[name]["data_offsets"])
    size = entries[names[1]]["data_offsets"][1] - entries[names[1]]["data_offsets"][0]
    entries[names[1]]["data_offsets"] = [0, size]


def _shift(entries: dict[str, dict[str, list[int]]]) -> None:
    for name in set(entries) - {"__metadata__"}:
        entries[name]["data_offsets"] = [offset + 8 for offset in entries[name]["data_offsets"]]


def _as(dtype: torch.dtype, *, all_of_them: bool) -> Harm:
    def edit(held: dict[str, Tensor]) -> None:
        for name in list(held) if all_of_them else [harm.first(held, 2)]:
            held[name] = held[name].mul(40).to(dtype)

    return harm.tensors(SHARD, edit)


def _with_value(name: str, value: float) -> Harm:
    def edit(held: dict[str, Tensor]) -> None:
        held[harm.first(held)].view(-1)[-1] = value

    return harm.tensors(name, edit)


def _replaced(change: str, name: str = SHARD) -> Harm:
    def edit(held: dict[str, Tensor]) -> None:
        victim = harm.first(held, 2)
        tensor = held.pop(victim)
        changed = {
            "missing": {},
            "renamed": {f"{victim}.old": tensor},
            "extra": {victim: tensor, "blocks.7.surprise": torch.zeros(2)},
            "extra with a line break": {victim: tensor, "x\n\x1b[31mhealthy": torch.zeros(2)},
            "longer": {victim: torch.cat([tensor, tensor])},
            "transposed": {victim: torch.zeros(tensor.shape[1], tensor.shape[0] + 1)},
            "zero-length": {victim: tensor[:0]},
            "flat": {victim: tensor.reshape(-1)},
        }
        held |= changed[change]

    return harm.tensors(name, edit)


def _contents() -> Iterator[Case]:
    dtypes = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool, torch.complex64)
    yield from _cases("dtype", OFFICIAL, {f"all {d}": _as(d, all_of_them=True) for d in dtypes})
    yield from _cases("dtype", OFFICIAL, {f"one {d}": _as(d, all_of_them=False) for d in dtypes})
    changes = ("missing", "renamed", "extra", "extra with a line break", "longer", "transposed", "zero-length", "flat")
    yield from _cases("tensor", OFFICIAL, {change: _replaced(change) for change in changes})
    yield from _cases("tensor of the VAE", OFFICIAL, {change: _replaced_vae(change) for change in ("missing", "extra")})
    values = {"NaN": float("nan"), "infinity": float("inf"), "minus infinity": float("-inf")}
    files = {"a shard": SHARD, "the VAE": VAE_PTH, "umT5": T5_PTH}
    for place, name in files.items():
        yield from _cases("number", OFFICIAL, {f"{k} in {place}": _with_value(name, v) for k, v in values.items()})


def _replaced_vae(change: str) -> Harm:
    def edit(held: dict[str, Tensor]) -> None:
        if change == "missing":
            del held["conv2.bias"]
        else:
            held["conv9.bias"] = torch.zeros(3)

    return harm.tensors(VAE_PTH, edit)


def _named(*suffixes: str, dtype: torch.dtype = torch.uint8, prefix: str = "blocks.0.self_attn.q") -> Harm:
    """The shard with tensors of a quantised format beside its own."""
    return harm.tensors(
        SHARD, lambda held: {**held, **{f"{prefix}{suffix}": torch.zeros(4).to(dtype) for suffix in suffixes}}
    )


def _prefixed(prefix: str, name: str = SHARD) -> Harm:
    return harm.tensors(name, lambda held: {f"{prefix}{key}": value for key, value in held.items()})


def _only(*names: str) -> Harm:
    return harm.tensors(SHARD, lambda held: {name: torch.zeros(4, 4) for name in names})


FOREIGN: Mapping[str, tuple[Harm, str]] = {
    "GGUF": (harm.content(SHARD, b"GGUF\x03\0\0\0" + bytes(100)), "is a GGUF file"),
    "fp8-scaled": (
        _named(".scale_weight", dtype=torch.float32),
        "is an fp8-scaled file",
    ),
    "fp8 of ComfyUI": (_named(".weight_scale", ".comfy_quant"), "is an fp8-scaled file"),
    "ComfyUI": (_prefixed("model.diffusion_model."), "is a single file with ComfyUI's names"),
    "ComfyUI without model": (_prefixed("diffusion_model."), "is a single file with ComfyUI's names"),
    "LoRA": (_only("blocks.0.self_attn.q.lora_A.weight", "blocks.0.self_attn.q.lora_B.weight"), "is a LoRA"),
    "LoRA of kohya": (_only("lora_unet_blocks_0_self_attn_q.lora_down.weight"), "is a LoRA"),
    "LoRA of ComfyUI": (_only("diffusion_model.blocks.0.self_attn.q.lora_up.weight"), "is a LoRA"),
    "bitsandbytes": (_named(".weight.absmax", ".weight.quant_map"), "quantised with bitsandbytes"),
    "bitsandbytes int8": (_named(".SCB", dtype=torch.float32), "quantised with bitsandbytes"),
    "quanto": (_named(".weight._data", ".weight._scale", dtype=torch.int8), "quantised with quanto"),
    "torchao": (_named(".weight:_qdata", ".weight:_scale", dtype=torch.int8), "quantised with torchao"),
    "nunchaku": (_named(".qweight", ".wscales", dtype=torch.int8), "is a Nunchaku"),
    "GPTQ": (_named(".qweight", ".qzeros", dtype=torch.int32), "quantised with GPTQ"),
    "training": (_prefixed("module."), "is a snapshot of a training"),
    "VACE": (_only("vace_blocks.0.before_proj.weight"), "is the model of another Wan variant"),
    "Flux": (_only("double_blocks.0.img_attn.proj.weight"), "is a file of another model family"),
    "web page": (harm.content(SHARD, b"<!DOCTYPE html><html>404"), "is a web page"),
    "gzip": (harm.content(SHARD, b"\x1f\x8b\x08" + bytes(100)), "is a gzip archive"),
    "program": (harm.content(SHARD, b"\x7fELF" + bytes(100)), "is a program"),
    "script": (harm.content(SHARD, b"#!/bin/sh\nrm -rf /\n"), "is a script"),
    "numpy": (harm.content(SHARD, b"\x93NUMPY" + bytes(100)), "is a numpy array"),
    "HDF5": (harm.content(SHARD, b"\x89HDF\r\n\x1a\n" + bytes(100)), "is an HDF5 file"),
    "torch file": (lambda folder: harm.rewrite(folder / SHARD, (folder / VAE_PTH).read_bytes()), "give it the suffix"),
    "GGUF as .pth": (harm.content(VAE_PTH, b"GGUF\x03\0\0\0" + bytes(100)), "is a GGUF file"),
    "ComfyUI as .pth": (_prefixed("first_stage_model.", VAE_PTH), "is a single file with ComfyUI's names"),
    "quantised config": (
        harm.config(CONFIG, quantization_config={"quant_method": "torchao"}),
        "is the config of weights that were quantised with torchao",
    ),
}
"""Name to what makes a file of that kind, and how it is called."""


def _foreign() -> Iterator[Case]:
    yield from _cases("foreign", OFFICIAL, {name: breaks for name, (breaks, _) in FOREIGN.items()})


def _mapped(name: object) -> Harm:
    def change(folder: Path) -> None:
        held = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        held["weight_map"][next(iter(held["weight_map"]))] = name
        harm.rewrite(folder / INDEX, json.dumps(held).encode())

    return change


def _indices() -> Iterator[Case]:
    names = {
        "../": "../x.safetensors", "absolute": "/etc/passwd.safetensors", "../ deeper": "a/../../x.safetensors",
        "backslash": "..\\x.safetensors", "NUL": "a\0.safetensors", "number": 3, "null": None, "empty": "",
        "folder": ".", "hidden": ".x.safetensors", "too long": "x" * 5000 + ".safetensors",
        "address": "http://x/y.safetensors", "no weights": "config.json", "home": "~/x.safetensors",
        "missing": "diffusion_pytorch_model-00009-of-00009.safetensors",
        "another shard": "diffusion_pytorch_model-00003-of-00003.safetensors",
    }  # fmt: skip
    table: dict[str, Harm] = {f"names {name}": _mapped(value) for name, value in names.items()}
    table |= {
        "empty": harm.content(INDEX, b""),
        "map a list": harm.config(INDEX, weight_map=["a"]),
        "map empty": harm.config(INDEX, weight_map={}),
        "map missing": harm.without(INDEX, "weight_map"),
        "nested": harm.content(INDEX, DEEP),
        "pipe": harm.fifo(INDEX),
        "shard removed": harm.removed(SHARD),
        "index and shard removed": lambda folder: [(folder / name).unlink() for name in (INDEX, SHARD)],
    }
    yield from _cases("index", OFFICIAL, table)


def _links() -> Iterator[Case]:
    outside = {
        "shard": SHARD, "config": CONFIG, "VAE": VAE_PTH, "tokenizer": TOKENIZER, "expert": "low_noise_model",
        "tokenizer's folder": "google",
    }  # fmt: skip
    table: dict[str, Harm] = {f"{what} outside": harm.linked(name, "{aside}") for what, name in outside.items()}
    for what, name in (("shard", SHARD), ("config", CONFIG), ("VAE", VAE_PTH), ("tokenizer", TOKENIZER)):
        table |= {
            f"{what} to nowhere": harm.linked(name, "/nowhere/at/all"),
            f"{what} to itself": harm.linked(name, "{name}"),
            f"{what} to an endless device": harm.linked(name, "/dev/zero"),
            f"{what} a pipe": harm.fifo(name),
            f"{what} a folder": harm.directory(name),
        }
    table["a pipe beside the tokenizer"] = harm.fifo("google/umt5-xxl/added_tokens.json")
    yield from _cases("link", OFFICIAL, table)


ABSURD: Mapping[str, tuple[object, ...]] = {
    "num_layers": (0, -1, 10**9, "2", 2.0, True, None, [2], {"a": 1}, b"1" + b"0" * 5000),
    "num_heads": (0, 3, -4, 10**6),
    "dim": (0, 10**12, 63, -64),
    "eps": (b"NaN", b"Infinity", b"1e999", 0, "1e-6", -1e-6, 5.0),
    "ffn_dim": (0, 64.5, "wide"),
    "freq_dim": (0, 255),
    "in_dim": (0, 17, "16", None),
    "out_dim": (0, 5),
    "text_len": (0, 10**9, "512", 1.5),
    "text_dim": (0, "wide"),
    "patch_size": ([0, 2, 2], [1, 2], "1,2,2", [1, 2, 10**9]),
}


def _configs() -> Iterator[Case]:
    table: dict[str, Harm] = {
        f"{name} {str(value)[:12]}": harm.config(CONFIG, **{name: value})
        for name, values in ABSURD.items()
        for value in values
    }
    table |= {
        "missing": harm.removed(CONFIG),
        "empty": harm.content(CONFIG, b""),
        "half": harm.cut(CONFIG, 0.5),
        "a list": harm.content(CONFIG, b"[1]"),
        "a number": harm.content(CONFIG, b"7"),
        "nested": harm.content(CONFIG, DEEP),
        "not UTF-8": harm.content(CONFIG, b'{"dim": "\xff"}'),
        "byte order mark": harm.edited(CONFIG, lambda old: b"\xef\xbb\xbf" + old),
        "UTF-16": harm.edited(CONFIG, lambda old: old.decode().encode("utf-16")),
        "NUL bytes": harm.content(CONFIG, bytes(300)),
        "a key twice": harm.edited(CONFIG, lambda old: old.rstrip()[:-1] + b',"dim":64}'),
        "65 MB": harm.content(CONFIG, b'{"a":"' + b"x" * (65 * 2**20) + b'"}'),
        "code of its own": harm.config(CONFIG, auto_map={"AutoModel": "evil.Model"}),
        "another class": harm.config(CONFIG, _class_name="FluxTransformer2DModel"),
        "class a number": harm.config(CONFIG, _class_name=3),
        "another type": harm.config(CONFIG, model_type="s2v"),
        "no heads": harm.without(CONFIG, "num_heads"),
        "the other expert's layers": harm.config(LOW_CONFIG, num_layers=0),
        "the other expert's channels": harm.config(LOW_CONFIG, in_dim=36),
        "a model with more layers": harm.config(CONFIG, num_layers=3),
        "a model with other heads": harm.config(CONFIG, dim=128),
    }
    yield from _cases("config", OFFICIAL, table)


def _diffusers() -> Iterator[Case]:
    index, vae, text = "model_index.json", "vae/config.json", "text_encoder/config.json"
    table: dict[str, Harm] = {
        "another pipeline": harm.config(index, _class_name="FluxPipeline"),
        "pipeline a list": harm.config(index, _class_name=["evil", "Pipeline"]),
        "pipeline of a line break": harm.config(index, _class_name="Wan\nPipeline"),
        "a foreign library": harm.config(index, vae=["os", "system"]),
        "a foreign class": harm.config(index, transformer=["diffusers", "FluxTransformer2DModel"]),
        "code as a class": harm.config(index, text_encoder=["transformers", "__import__('os').mkdir"]),
        "an unknown part from elsewhere": harm.config(index, safety=["evil.module", "Checker"]),
        "custom pipeline": harm.config(index, custom_pipeline="someone/else"),
        "index empty": harm.content(index, b""),
        "index nested": harm.content(index, DEEP),
        "index a pipe": harm.fifo(index),
        "index a folder": harm.directory(index),
        "VAE z_dim 0": harm.config(vae, z_dim=0),
        "VAE z_dim of another": harm.config(vae, z_dim=48),
        "VAE dim_mult huge": harm.config(vae, dim_mult=[10**9] * 4),
        "VAE dim_mult empty": harm.config(vae, dim_mult=[]),
        "VAE patch 0": harm.config(vae, patch_size=0),
        "VAE spread 0": harm.config(vae, latents_std=[0.0] * 16),
        "VAE mean NaN": harm.config(vae, latents_mean=b"[NaN]"),
        "VAE mean too short": harm.config(vae, latents_mean=[0.0]),
        "VAE of another class": harm.config(vae, _class_name="AutoencoderKL"),
        "VAE steps": harm.config(vae, temperal_downsample=[True] * 8),
        "VAE config missing": harm.removed(vae),
        "text width 0": harm.config(text, d_model=0),
        "text layers": harm.config(text, num_layers=10**9),
        "text vocabulary": harm.config(text, vocab_size=-1),
        "text activation": harm.config(text, feed_forward_proj="gated-os.system"),
        "text auto_map": harm.config(text, auto_map={"AutoModel": "evil--Model"}),
        "text of another class": harm.config(text, architectures=["LlamaForCausalLM"]),
        "text quantised": harm.config(text, quantization_config={"quant_method": "bitsandbytes"}),
        "text of another width": harm.config(text, d_model=64),
        "denoiser head width odd": harm.config("transformer/config.json", attention_head_dim=15),
        "denoiser norm": harm.config("transformer/config.json", qk_norm="os.system"),
        "denoiser layers": harm.config("transformer_2/config.json", num_layers=0),
        "denoiser patch": harm.config("transformer/config.json", patch_size=[0, 0, 0]),
        "tokenizer missing": lambda folder: shutil.rmtree(folder / "tokenizer"),
        "weights missing": harm.removed("vae/diffusion_pytorch_model.safetensors"),
        "int8 VAE": harm.tensors(
            "vae/diffusion_pytorch_model.safetensors",
            lambda held: {name: value.to(torch.int8) for name, value in held.items()},
        ),
        "LoRA for text": harm.tensors(
            "text_encoder/model.safetensors", lambda held: {"shared.lora_A.weight": torch.zeros(2, 2)}
        ),
    }
    yield from _cases("diffusers", DIFFUSERS, table)
    image = "image_encoder/config.json"
    pictures = {
        "width 0": harm.config(image, hidden_size=0),
        "patch 0": harm.config(image, patch_size=0),
        "heads": harm.config(image, num_attention_heads=3),
        "activation": harm.config(image, hidden_act="os.system"),
        "missing": harm.removed("image_encoder/model.safetensors"),
    }
    yield from _cases("image encoder", WITH_IMAGE, pictures)


def _tokenizers() -> Iterator[Case]:
    special = "google/umt5-xxl/special_tokens_map.json"
    spiece, settings = "google/umt5-xxl/spiece.model", "google/umt5-xxl/tokenizer_config.json"

    def enlarge(folder: Path) -> None:
        held = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
        held["added_tokens"].append(
            {"id": len(held["model"]["vocab"]), "content": "<new>", "single_word": False, "lstrip": False}
            | {"rstrip": False, "normalized": False, "special": False}
        )
        held["model"]["vocab"] += [[f"piece{number}", -9.0] for number in range(5000)]
        harm.rewrite(folder / TOKENIZER, json.dumps(held).encode())

    table: dict[str, Harm] = {
        "cut short": harm.content(TOKENIZER, b'{"version": "1.0", "truncation": null,'),
        "cut in half": harm.cut(TOKENIZER, 0.5),
        "cut by a byte": harm.edited(TOKENIZER, lambda old: old.rstrip()[:-1]),
        "empty": harm.content(TOKENIZER, b""),
        "empty object": harm.content(TOKENIZER, b"{}"),
        "a list": harm.content(TOKENIZER, b"[]"),
        "no model": harm.content(TOKENIZER, b'{"version": "1.0", "added_tokens": []}'),
        "a web page": harm.content(TOKENIZER, b"<html>"),
        "another kind of model": harm.config(TOKENIZER, model={"type": "Evil"}),
        "vocabulary empty": harm.config(TOKENIZER, model={"type": "WordLevel", "vocab": {}, "unk_token": "x"}),
        "nested": harm.content(TOKENIZER, DEEP),
        "more tokens than embeddings": enlarge,
        "removed": harm.removed(TOKENIZER),
        "spiece cut": harm.cut(spiece, 0.7),
        "spiece cut by a byte": harm.edited(spiece, lambda old: old[:-1]),
        "spiece empty": harm.content(spiece, b""),
        "spiece of noise": harm.content(spiece, bytes(range(256)) * 20),
        "spiece a web page": harm.content(spiece, b"<!DOCTYPE html>"),
        "settings empty": harm.content(settings, b""),
        "settings a list": harm.content(settings, b"[]"),
        "settings with code": harm.config(settings, auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}),
        "settings of another class": harm.config(settings, tokenizer_class="BertJapaneseTokenizer"),
        "settings without padding": lambda folder: [
            harm.config(name, pad_token=None)(folder) for name in (settings, special)
        ],
        "special tokens broken": harm.content(special, b'{"pad_token":'),
    }
    yield from _cases("tokenizer", OFFICIAL, table)


def _pickles() -> Iterator[Case]:
    for what, name in (("VAE", VAE_PTH), ("T5", T5_PTH)):
        table: dict[str, Harm] = {
            "payload": harm.payload(name, key="conv2.bias"),
            "payload of protocol 4": harm.payload(name, key="conv2.bias", protocol=4),
            "payload in exec": harm.payload(name, key="conv2.bias", call=exec),
            "bare pickle": harm.bare_pickle(name, 2),
            "bare pickle of protocol 5": harm.bare_pickle(name, 5),
            "empty": harm.content(name, b""),
            "cut in half": harm.cut(name, 0.5),
            "cut by a byte": harm.edited(name, lambda old: old[:-1]),
            "cut to 1000 bytes": harm.edited(name, lambda old: old[:1000]),
            "compressed": harm.rezipped(name, lambda members: None, zipfile.ZIP_DEFLATED),
            "int8": harm.tensors(name, lambda held: {key: value.to(torch.int8) for key, value in held.items()}),
            "nested": harm.tensors(name, lambda held: {"state_dict": held}),
            "a list": harm.tensors(name, lambda held: list(held.values())),
            "a number beside": harm.tensors(name, lambda held: {**held, "epoch": 3}),
            "removed": harm.removed(name),
        }
        yield from _cases(what, OFFICIAL, table)
    yield from _cases("pickle", OFFICIAL, _archives())


def _archives() -> dict[str, Harm]:
    def bomb(members: dict[str, bytes]) -> None:
        members["archive/data/bomb"] = bytes(200 * 2**20)

    def shorter(members: dict[str, bytes]) -> None:
        victim = next(name for name in members if "/data/" in name)
        members[victim] = members[victim][:-4]

    def expand(held: dict[str, Tensor]) -> None:
        held["conv2.bias"] = torch.zeros(1).expand(held["conv2.bias"].shape)

    def program(members: dict[str, bytes]) -> None:
        members[next(iter(members)).split("/")[0] + "/constants.pkl"] = b"."

    def old_format(folder: Path) -> None:
        held = torch.load(folder / VAE_PTH, weights_only=True)
        (folder / VAE_PTH).unlink()
        torch.save(held, folder / VAE_PTH, _use_new_zipfile_serialization=False)

    def text_in_zip(folder: Path) -> None:
        (folder / VAE_PTH).unlink()
        with zipfile.ZipFile(folder / VAE_PTH, "w") as archive:
            archive.writestr("readme.txt", "weights follow")

    def quantised(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to give this kind up; files of it remain
            value(torch.quantize_per_tensor(torch.ones(4), 1.0, 0, torch.qint8))(folder)

    def value(made: object) -> Harm:
        return harm.tensors(VAE_PTH, lambda held: {**held, "conv2.bias": made})

    return {
        "a zip bomb": harm.rezipped(VAE_PTH, bomb, zipfile.ZIP_DEFLATED),
        "a storage shorter than said": harm.rezipped(VAE_PTH, shorter),
        "a tensor repeated from one number": harm.tensors(VAE_PTH, expand),
        "a program": harm.rezipped(VAE_PTH, program),
        "an old torch file": old_format,
        "a zip of text": text_in_zip,
        "a sparse tensor": value(torch.eye(4).to_sparse()),
        "a quantised tensor": quantised,
        "a memo of 2**31": harm.pickled(VAE_PTH, lambda old: b"\x80\x02}r\xff\xff\xff\x7f."),
        "an instruction of another kind": harm.pickled(VAE_PTH, lambda old: b"\x80\x02(ios\nmkdir\nX\x04\0\0\0TRAPo."),
        "no end": harm.pickled(VAE_PTH, lambda old: old[:-1]),
        "an empty pickle": harm.pickled(VAE_PTH, lambda old: b""),
        "nothing": harm.pickled(VAE_PTH, lambda old: b"\x80\x02}."),
        "a stack without values": harm.pickled(VAE_PTH, lambda old: b"\x80\x02R."),
        "tuples in tuples": harm.pickled(
            VAE_PTH, lambda old: b"\x80\x02)" + b"".join(b"\x86q\x00h\x00" for _ in range(1)) + b"."
        ),
        "a huge text": harm.pickled(VAE_PTH, lambda old: b"\x80\x02X\xff\xff\xff\x7fa."),
    }


def _folders() -> Iterator[Case]:
    def single_file(name: str, value: bytes) -> Harm:
        def change(folder: Path) -> None:
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / name).write_bytes(value)

        return change

    def only_comfy(folder: Path) -> None:
        _prefixed("model.diffusion_model.")(folder)
        (folder / SHARD).rename(folder.parent / "moved")
        shutil.rmtree(folder)
        folder.mkdir()
        (folder.parent / "moved").rename(folder / "wan2.2_t2v.safetensors")

    def file_instead(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.write_bytes(b"GGUF\x03\0\0\0")

    def same_experts(folder: Path) -> None:
        shutil.rmtree(folder / "low_noise_model")
        shutil.copytree(folder / "high_noise_model", folder / "low_noise_model")

    def other_model(folder: Path) -> None:
        harm.rewrite(folder / CONFIG, json.dumps({"model_type": "llama", "architectures": ["LlamaModel"]}).encode())

    table: dict[str, Harm] = {
        "only a GGUF": single_file("wan.gguf", b"GGUF\x03\0\0\0" + bytes(100)),
        "only a web page": single_file("model.safetensors", b"<html>"),
        "only a ComfyUI file": only_comfy,
        "empty": lambda folder: [shutil.rmtree(folder), folder.mkdir()],
        "missing": shutil.rmtree,
        "a file": file_instead,
        "experts alike": same_experts,
        "one expert": lambda folder: shutil.rmtree(folder / "low_noise_model"),
        "another family": other_model,
        "unfinished": harm.content(
            ".wan-files.json", b'{"made_by":"wan download","origin":"x","finished":false,"files":{}}'
        ),
    }
    yield from _cases("folder", OFFICIAL, table)
    single: dict[str, Harm] = {
        "layers of a single model": harm.config("config.json", num_layers=0),
        "channels of a single model": harm.config("config.json", in_dim=16),
        "its VAE removed": harm.removed("Wan2.2_VAE.pth"),
        "its weights a LoRA": harm.tensors(
            "diffusion_pytorch_model.safetensors", lambda held: {"blocks.0.self_attn.q.lora_A.weight": torch.ones(2)}
        ),
    }
    yield from _cases("single", SINGLE, single)
