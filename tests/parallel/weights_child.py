"""One rank that reads a denoiser whole or spread over the group, and says how much memory of its own that took."""

import json
import sys
from functools import partial
from pathlib import Path

import psutil
import torch
import torch.distributed as dist
from diffusers import WanTransformer3DModel
from safetensors.torch import save_file
from torch.distributed.device_mesh import init_device_mesh

from wan.loading.component import WHOLE, Component, Spread
from wan.loading.official_keys import Source
from wan.loading.weights import open_weights
from wan.parallel.weights import SpreadOverRanks, denoiser_blocks

make = partial(
    WanTransformer3DModel,
    num_attention_heads=8,
    attention_head_dim=96,
    ffn_dim=3072,
    num_layers=8,
    text_dim=64,
    freq_dim=64,
)


def write_weights(file: Path) -> int:
    """Random weights in bfloat16; their bytes."""
    model = make().to(torch.bfloat16)
    save_file(model.state_dict(), file)
    return file.stat().st_size


def read(file: Path, spread: Spread) -> dict[str, float]:
    """Bytes that only this process has, before and after, and those that it maps."""
    weights = open_weights([file])
    component = Component(
        place=str(file), make=make, weights=weights, key_map={name: Source(name) for name in weights.shapes}
    )
    process = psutil.Process()
    before = process.memory_full_info()
    model = component.build(dtype=torch.bfloat16, device=torch.device("cpu"), spread=spread)
    after = process.memory_full_info()
    del model
    return {"own": after.uss - before.uss, "resident": after.rss - before.rss}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),), mesh_dim_names=("ranks",))
    found = {
        "spread": read(folder / "model.safetensors", SpreadOverRanks(mesh, denoiser_blocks)),
        "whole": read(folder / "model.safetensors", WHOLE),
    }
    (folder / f"memory_{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()
