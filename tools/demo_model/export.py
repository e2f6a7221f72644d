"""Stage "export": writes the trained parts as a diffusers pipeline folder with half-precision weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from torch import nn

from .denoiser import make_denoiser
from .latents import load_statistics
from .store import Log, load_state
from .text import make_text_encoder, make_tokenizer
from .train_vae import load_vae

BOUNDARY = 0.875
SHIFT = 12.0


def export_pipeline(*, work_dir: Path, target: Path, log: Log) -> None:
    """Writes beside the target first; an expert that has not begun is replaced by the base model, and said so."""
    experts = {name: work_dir / f"{name}.pt" for name in ("expert_high", "expert_low")}
    sources = {name: path if path.exists() else work_dir / "base.pt" for name, path in experts.items()}
    encoder, high = load_averaged(sources["expert_high"])
    _, low = load_averaged(sources["expert_low"])
    vae = load_vae(work_dir)
    mean, std = load_statistics(work_dir)
    vae.register_to_config(latents_mean=_rounded(mean), latents_std=_rounded(std))
    pipeline = WanPipeline(
        tokenizer=make_tokenizer(),
        text_encoder=encoder,  # float32: it is small, and loaders keep the type they find
        vae=vae.half(),
        scheduler=UniPCMultistepScheduler(
            num_train_timesteps=1000, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT
        ),
        transformer=high.half(),
        transformer_2=low.half(),
        boundary_ratio=BOUNDARY,
    )
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    pipeline.save_pretrained(partial, safe_serialization=True)
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    log.write("export", megabytes=size / 1e6, **{name: path.stem for name, path in sources.items()})


def load_averaged(path: Path) -> tuple[nn.Module, WanTransformer3DModel]:
    """The averaged text encoder and denoiser of a stage."""
    state = load_state(path)
    if state is None:
        raise FileNotFoundError(f"{path} does not exist: train the stage '{path.stem}' first")
    networks = nn.ModuleDict({"encoder": make_text_encoder(len(make_tokenizer())), "denoiser": make_denoiser()})
    networks.load_state_dict(state["ema"])
    return networks["encoder"].eval(), networks["denoiser"].eval()


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(float(value), 5) for value in values]
