"""A denoiser as a GGUF file or an fp8-scaled one, as published files are: with official names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from wan.loading.denoiser_names import with_official_names


def official_tensors(expert: Path) -> dict[str, torch.Tensor]:
    """An expert's tensors (a safetensors file with names of diffusers) under their official names."""
    tensors = load_file(expert)
    aliases = {name: set(with_official_names({name: ()})) - {name} for name in tensors}
    return {next(iter(aliases[name]), name): tensor for name, tensor in tensors.items()}


def write_gguf(tensors: Mapping[str, torch.Tensor], path: Path, *, kind: str) -> Path:
    """``tensors`` (official names) with the matrices of the blocks as ``kind`` (Q8_0, Q4_0, ...), where their rows are
    whole blocks, and all else in float32. Needs the package gguf."""
    import gguf

    quantised = gguf.GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[quantised][0]
    writer = gguf.GGUFWriter(str(path), "wan")
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if name.startswith("blocks.") and values.ndim == 2 and values.shape[1] % block == 0:
            writer.add_tensor(name, gguf.quants.quantize(values, quantised), raw_dtype=quantised)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_fp8_scaled(tensors: Mapping[str, torch.Tensor], path: Path) -> Path:
    """``tensors`` as ComfyUI's fp8-scaled files are: matrices of the blocks in 8-bit floats, a scale beside each."""
    found: dict[str, torch.Tensor] = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    largest = torch.finfo(torch.float8_e4m3fn).max
    for name, tensor in tensors.items():
        if name.startswith("blocks.") and tensor.ndim == 2:
            scale = tensor.float().abs().max() / largest
            found[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
            found[name.removesuffix(".weight") + ".scale_weight"] = scale
        else:
            found[name] = tensor
    save_file(found, path)
    return path
