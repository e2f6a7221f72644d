"""Stages "vae" and "decoder": the AutoencoderKLWan on short native-rate windows of clips rendered on the fly.

"decoder" goes on from "vae" with the encoder frozen, so latents that were encoded in between stay valid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan

from wan.demo_world.clips import PIXEL_FRAMES, as_indices, render, sample_clips
from wan.demo_world.words import held_out_combinations, training_combinations

from . import vae_fast
from .store import Budget, Clock, Ema, Log, Schedule, load_state, save_atomically, step_generator

Z_DIM = 16
POSTERIOR_STD = 0.08


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeRecipe:
    """What one stage trains: the noise on its latents, the loss, the rate, and where it starts."""

    stage: str
    trains_encoder: bool
    latent_noise: float
    l1_weight: float
    mse_weight: float
    first_frame_weight: float
    learning_rate: float
    starts_from: str | None
    seed: int
    latent_penalty: float = 5e-4


VAE_RECIPES = {
    "vae": VaeRecipe(
        stage="vae", trains_encoder=True, latent_noise=POSTERIOR_STD, l1_weight=1.0, mse_weight=4.0,
        first_frame_weight=2.0, learning_rate=8e-4, starts_from=None, seed=1,
    ),
    "decoder": VaeRecipe(
        stage="decoder", trains_encoder=False, latent_noise=0.03, l1_weight=0.25, mse_weight=8.0,
        first_frame_weight=1.0, learning_rate=5e-4, starts_from="vae", seed=6,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeSettings:
    """What a VAE stage can be told."""

    budget: Budget
    device: torch.device
    decoder_base_dim: int = 24
    batch: int = 8
    pixel_frames: int = 17
    compiled: bool = True
    save_every_seconds: float = 60.0
    log_every: int = 100


def make_vae(*, decoder_base_dim: int) -> AutoencoderKLWan:
    """The demo VAE, strides 4x8x8, with one temporal tap and a fixed posterior width."""
    vae = AutoencoderKLWan(
        base_dim=16,
        decoder_base_dim=decoder_base_dim,
        z_dim=Z_DIM,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        latents_mean=[0.0] * Z_DIM,
        latents_std=[1.0] * Z_DIM,
    )
    vae_fast.keep_last_tap_only(vae)
    with torch.no_grad():  # log-variance: a constant, so that sampling the posterior adds the noise of training
        vae.quant_conv.weight[Z_DIM:] = 0
        vae.quant_conv.bias[Z_DIM:] = 2 * torch.tensor(POSTERIOR_STD).log()
    return vae


def train_vae(recipe: VaeRecipe, settings: VaeSettings, *, work_dir: Path, log: Log) -> None:
    """Trains one stage until its budget is used, saving as it goes; a finished stage returns at once."""
    torch.manual_seed(recipe.seed)
    path = work_dir / f"{recipe.stage}.pt"
    vae = make_vae(decoder_base_dim=settings.decoder_base_dim).to(settings.device)
    if recipe.starts_from is not None:
        start = load_state(work_dir / f"{recipe.starts_from}.pt")
        if start is None:
            raise FileNotFoundError(f"{recipe.stage} starts from '{recipe.starts_from}': run that stage first")
        vae.load_state_dict(start["ema"])
    if not recipe.trains_encoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    ema, step, clock = Ema(vae, decay=0.998), 0, Clock()
    state = load_state(path)
    if state is not None:
        vae.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        ema.values = {name: value.to(settings.device) for name, value in state["ema"].items()}
        step, clock = state["step"], Clock(seconds_before=state["seconds"])
    schedule = Schedule(warmup_steps=100)
    combinations = as_indices(training_combinations())
    fraction = settings.budget.fraction(step=step, seconds=clock.seconds)
    while fraction < 1:
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule.factor(step=step, fraction=fraction)
        losses = _step(vae, optimizer, recipe, settings, combinations, step=step)
        step += 1
        ema.update(vae, step=step)
        if step % settings.log_every == 0:
            log.write(recipe.stage, step=step, seconds=clock.seconds, fraction=fraction, **losses)
        fraction = settings.budget.fraction(step=step, seconds=clock.seconds)
        if clock.due("save", settings.save_every_seconds) or fraction >= 1:
            _save(path, settings, vae, optimizer, ema, step=step, seconds=clock.seconds)
        if clock.due("check", 240) or fraction >= 1:
            log.write(recipe.stage, step=step, **reconstruction(_averaged(path).to(settings.device), clips=8))


def load_vae(work_dir: Path) -> AutoencoderKLWan:
    """The averaged weights of the last saved state, of "decoder" if that stage has begun."""
    path = next((work_dir / f"{stage}.pt" for stage in ("decoder", "vae") if (work_dir / f"{stage}.pt").exists()), None)
    if path is None:
        raise FileNotFoundError(f"no VAE has been trained in {work_dir}: run the stage 'vae' first")
    return _averaged(path)


def _averaged(path: Path) -> AutoencoderKLWan:
    state = load_state(path)
    assert state is not None
    vae = make_vae(decoder_base_dim=state["decoder_base_dim"])
    vae.load_state_dict(state["ema"])
    return vae.eval()


@torch.no_grad()
def reconstruction(vae: AutoencoderKLWan, *, clips: int, seed: int = 99) -> dict[str, float]:
    """PSNR in dB of 49-frame clips of held-out combinations: all frames, frame 0, first and last second."""
    generator = torch.Generator().manual_seed(seed)
    chosen = as_indices(held_out_combinations())[torch.randperm(len(held_out_combinations()), generator=generator)]
    errors = []
    for rows in chosen[:clips].split(4):
        video = render(sample_clips(rows, generator=generator, pixel_frames=PIXEL_FRAMES)).to(vae.device)
        latents = vae_fast.encode(vae, video * 2 - 1)[:, :Z_DIM]
        decoded = vae_fast.decode(vae, latents).clamp(-1, 1) / 2 + 0.5
        errors.append((decoded - video).square().mean(dim=(1, 3, 4)).cpu())
    error = torch.cat(errors)
    parts = {"all": error, "frame_0": error[:, :1], "first_second": error[:, :16], "last_second": error[:, -16:]}
    return {f"psnr_{name}": -10 * part.mean().log10().item() for name, part in parts.items()}


def _step(
    vae: AutoencoderKLWan,
    optimizer: torch.optim.Optimizer,
    recipe: VaeRecipe,
    settings: VaeSettings,
    combinations: torch.Tensor,
    *,
    step: int,
) -> dict[str, float]:
    """One optimisation step on freshly rendered windows; returns the losses."""
    generator = step_generator(recipe.seed, step)
    rows = combinations[torch.randint(len(combinations), (settings.batch,), generator=generator)]
    latest = PIXEL_FRAMES - settings.pixel_frames
    start = int(torch.randint(latest + 1, (1,), generator=generator))
    clips = sample_clips(rows, generator=generator, pixel_frames=settings.pixel_frames, start=start)
    video = render(clips).to(settings.device) * 2 - 1
    encode, decode = _paths(settings.compiled)
    noise = torch.randn(settings.batch, Z_DIM, 1 + (settings.pixel_frames - 1) // 4, 8, 8, generator=generator)
    with torch.autocast(settings.device.type, torch.bfloat16):
        with torch.set_grad_enabled(recipe.trains_encoder):
            mean = encode(vae, video)[:, :Z_DIM]
        decoded = decode(vae, mean + recipe.latent_noise * noise.to(settings.device))
    difference = decoded.float() - video
    weight = torch.ones(settings.pixel_frames, device=settings.device)
    weight[0] = recipe.first_frame_weight
    weight = (weight / weight.mean())[:, None, None]
    l1, mse = (difference.abs() * weight).mean(), (difference.square() * weight).mean()
    energy = mean.float().square().mean()
    loss = recipe.l1_weight * l1 + recipe.mse_weight * mse + recipe.latent_penalty * energy
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    psnr = -10 * (difference.detach().square().mean() / 4).log10()
    return {"l1": l1.item(), "mse": mse.item(), "energy": energy.item(), "psnr": psnr.item()}


@lru_cache(maxsize=2)
def _paths(compiled: bool) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
    """Encode and decode; compiled they take a minute to build and a quarter less time a step."""
    if compiled:
        return torch.compile(vae_fast.encode), torch.compile(vae_fast.decode)
    return vae_fast.encode, vae_fast.decode


def _save(path: Path, settings: VaeSettings, vae: Any, optimizer: Any, ema: Ema, **progress: float) -> None:
    state = {"model": vae.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.values, **progress}
    save_atomically(state | {"decoder_base_dim": settings.decoder_base_dim}, path)
