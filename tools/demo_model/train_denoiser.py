"""Stages "base", "expert_high" and "expert_low": flow matching on the latents with captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from wan.demo_world.clips import from_indices

from .denoiser import make_denoiser
from .denoiser_fast import predict, run_block
from .latents import LatentSet, load_held_out_latents, load_training_latents
from .store import Budget, Clock, Ema, Log, Schedule, load_state, save_atomically, step_generator
from .text import caption_for_training, encode_compact, make_text_encoder, make_tokenizer

CHECK_SIGMAS = (0.98, 0.95, 0.9, 0.8, 0.5)
FIRST_FRAME_WEIGHT = 2.0
FULL_LATENT_FRAMES = 13
SHORT_SHARE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What one stage trains: noise levels [sigma_low, sigma_high] drawn with a shift, rates, and where it starts."""

    stage: str
    sigma_low: float
    sigma_high: float
    shift: float
    muon_rate: float
    adam_rate: float
    schedule: Schedule
    starts_from: str | None
    seed: int


RECIPES = {
    "base": Recipe(
        stage="base", sigma_low=0.0, sigma_high=1.0, shift=10.0, muon_rate=2e-3, adam_rate=1e-3,
        schedule=Schedule(warmup_steps=150, flat_until=0.5, floor=0.25), starts_from=None, seed=3,
    ),
    "expert_high": Recipe(
        stage="expert_high", sigma_low=0.82, sigma_high=1.0, shift=12.0, muon_rate=4e-3, adam_rate=1e-3,
        schedule=Schedule(warmup_steps=100, flat_until=0.4), starts_from="base", seed=4,
    ),
    "expert_low": Recipe(
        stage="expert_low", sigma_low=0.0, sigma_high=0.905, shift=12.0, muon_rate=2e-3, adam_rate=1e-3,
        schedule=Schedule(warmup_steps=100, flat_until=0.4), starts_from="base", seed=5,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiserSettings:
    """What a denoiser stage can be told."""

    budget: Budget
    device: torch.device
    batch: int = 16
    ema_decay: float = 0.999
    compiled: bool = True
    save_every_seconds: float = 60.0
    check_every_seconds: float = 300.0
    log_every: int = 50


class Trainer:
    """The networks of one stage, their optimizers and averages, restored from disk where there is a state."""

    def __init__(self, recipe: Recipe, settings: DenoiserSettings, *, work_dir: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.settings, self.path = recipe, settings, work_dir / f"{recipe.stage}.pt"
        self.tokenizer = make_tokenizer()
        self.encoder = make_text_encoder(len(self.tokenizer))
        self.denoiser = make_denoiser()
        self.networks = nn.ModuleDict({"encoder": self.encoder, "denoiser": self.denoiser}).to(settings.device)
        if recipe.starts_from is not None:
            start = load_state(work_dir / f"{recipe.starts_from}.pt")
            if start is None:
                raise FileNotFoundError(f"{recipe.stage} starts from '{recipe.starts_from}': run that stage first")
            self.networks.load_state_dict(start["ema"])
            self.encoder.requires_grad_(False)
        self.optimizers = make_optimizers(self.networks, recipe)
        self.ema = Ema(self.networks, decay=settings.ema_decay)
        self.step, self.clock = 0, Clock()
        state = load_state(self.path)
        if state is not None:
            self._restore(state)

    @property
    def fraction(self) -> float:
        """The used part of the stage's budget."""
        return self.settings.budget.fraction(step=self.step, seconds=self.clock.seconds)

    def update(self, loss: torch.Tensor) -> None:
        """One step of every optimizer at the scheduled rate, and of the average."""
        factor = self.recipe.schedule.factor(step=self.step, fraction=self.fraction)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in self.networks.parameters() if p.requires_grad], 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            optimizer.step()
        self.step += 1
        self.ema.update(self.networks, step=self.step)

    def save(self) -> None:
        """Writes everything that a later run needs to go on."""
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"model": self.networks.state_dict(), "ema": self.ema.values, "optimizers": optimizers}
        save_atomically(state | {"step": self.step, "seconds": self.clock.seconds}, self.path)

    def _restore(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["model"])
        self.ema.values = {name: value.to(self.settings.device) for name, value in state["ema"].items()}
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.clock = state["step"], Clock(seconds_before=state["seconds"])


def train_denoiser(recipe: Recipe, settings: DenoiserSettings, *, work_dir: Path, log: Log) -> None:
    """Trains one stage until its budget is used, saving as it goes; a finished stage returns at once."""
    trainer = Trainer(recipe, settings, work_dir=work_dir)
    if trainer.fraction >= 1 and trainer.step:
        return
    training, held_out = load_training_latents(work_dir), load_held_out_latents(work_dir)
    running: dict[str, list[float]] = {}
    while trainer.fraction < 1:
        losses = training_step(trainer, training)
        for name, value in losses.items():
            running.setdefault(name, []).append(value)
        if trainer.step % settings.log_every == 0:
            means = {name: sum(values) / len(values) for name, values in running.items()}
            log.write(
                recipe.stage, step=trainer.step, seconds=trainer.clock.seconds, fraction=trainer.fraction, **means
            )
            running = {}
        if trainer.clock.due("save", settings.save_every_seconds):
            trainer.save()
        if trainer.clock.due("check", settings.check_every_seconds) or trainer.fraction >= 1:
            log.write(recipe.stage, step=trainer.step, **memorisation_check(trainer, training, held_out))
    trainer.save()


def training_step(trainer: Trainer, data: LatentSet) -> dict[str, float]:
    """One flow-matching step; returns the batch's loss in two ranges of sigma."""
    recipe, settings = trainer.recipe, trainer.settings
    generator = step_generator(recipe.seed, trainer.step)
    rows = torch.randint(len(data.latents), (settings.batch,), generator=generator)
    clean = data.latents[rows, :, : draw_latent_frames(generator)].float()
    combinations = [from_indices(row) for row in data.attributes[rows]]
    captions = [caption_for_training(combination, generator=generator) for combination in combinations]
    sigma = draw_sigmas(settings.batch, recipe, generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    full_length = clean.shape[2] == FULL_LATENT_FRAMES
    errors = velocity_errors(
        trainer.encoder,
        trainer.denoiser,
        trainer.tokenizer,
        clean,
        noise,
        sigma,
        captions,
        block=compiled_block() if settings.compiled and full_length else run_block,
    )
    trainer.update(errors.mean())
    errors = errors.detach().cpu()
    ranges = {"loss": sigma > 0, "loss_above_95": sigma >= 0.95, "loss_below_875": sigma < 0.875}
    return {name: errors[chosen].mean().item() for name, chosen in ranges.items() if chosen.any()}


def velocity_errors(
    encoder: nn.Module,
    denoiser: WanTransformer3DModel,
    tokenizer: Any,
    clean: torch.Tensor,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    captions: list[str],
    *,
    block: Callable[..., torch.Tensor] = run_block,
) -> torch.Tensor:
    """Weighted squared error (B,) of the velocity noise - clean at x = (1 - sigma) clean + sigma noise."""
    device = denoiser.device
    clean, noise, level = clean.to(device), noise.to(device), sigma.to(device)[:, None, None, None, None]
    noisy = (1 - level) * clean + level * noise
    timestep = (1000 * sigma).floor().to(device)  # sampling feeds the truncated integer
    with torch.autocast(device.type, torch.bfloat16):
        text = encode_compact(encoder, tokenizer, captions)
        velocity = predict(denoiser, noisy, timestep, text, block=block)
    squared = (velocity.float() - (noise - clean)).square().mean(dim=(1, 3, 4))
    weight = torch.ones(squared.shape[1], device=device)
    weight[0] = FIRST_FRAME_WEIGHT
    return (squared * (weight / weight.mean())).mean(dim=1)


def draw_latent_frames(generator: torch.Generator) -> int:
    """13 latent frames mostly; a shorter native-rate prefix of 2 to 12 in two batches of ten."""
    short = float(torch.rand((), generator=generator)) < SHORT_SHARE
    length = int(torch.randint(2, FULL_LATENT_FRAMES, (), generator=generator))
    return length if short else FULL_LATENT_FRAMES


@lru_cache(maxsize=1)
def compiled_block() -> Callable[..., torch.Tensor]:
    """The block for full-length batches: half a minute to build, a quarter less time a step."""
    return torch.compile(run_block, dynamic=False)


def draw_sigmas(count: int, recipe: Recipe, *, generator: torch.Generator) -> torch.Tensor:
    """Stratified levels (count,) in the recipe's range, with the density of a sampler's shifted uniform grid."""
    low, high = (level / (recipe.shift - (recipe.shift - 1) * level) for level in (recipe.sigma_low, recipe.sigma_high))
    strata = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    uniform = low + (high - low) * strata[torch.randperm(count, generator=generator)]
    return recipe.shift * uniform / (1 + (recipe.shift - 1) * uniform)


@torch.no_grad()
def memorisation_check(
    trainer: Trainer, training: LatentSet, held_out: LatentSet, *, clips: int = 48
) -> dict[str, float]:
    """The averaged model's loss on held-out combinations and on as many training clips, same noise, per sigma."""
    networks = nn.ModuleDict({"encoder": make_text_encoder(len(trainer.tokenizer)), "denoiser": make_denoiser()})
    networks.load_state_dict(trainer.ema.values)
    networks.to(trainer.settings.device)
    report = {}
    for sigma in CHECK_SIGMAS:
        if trainer.recipe.sigma_low <= sigma <= trainer.recipe.sigma_high:
            for name, data in (("train", training), ("held_out", held_out)):
                noise = torch.randn(clips, *data.latents.shape[1:], generator=step_generator(trainer.recipe.seed, -1))
                errors = velocity_errors(
                    networks["encoder"],
                    networks["denoiser"],
                    trainer.tokenizer,
                    data.latents[:clips].float(),
                    noise,
                    torch.full((clips,), sigma),
                    [from_indices(row).caption() for row in data.attributes[:clips]],
                )
                report[f"{name}_{sigma}"] = errors.mean().item()
    return report


def make_optimizers(networks: nn.ModuleDict, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the denoiser's blocks, AdamW for everything else that trains."""
    trainable = [(name, p) for name, p in networks.named_parameters() if p.requires_grad]
    is_matrix: Callable[[str, torch.Tensor], bool] = lambda name, p: "denoiser.blocks" in name and p.ndim == 2  # noqa: E731
    matrices = [p for name, p in trainable if is_matrix(name, p)]
    others = [p for name, p in trainable if not is_matrix(name, p)]
    muon = torch.optim.Muon(
        matrices, lr=recipe.muon_rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    for optimizer, rate in ((muon, recipe.muon_rate), (adam, recipe.adam_rate)):
        for group in optimizer.param_groups:
            group["initial_lr"] = rate
    return [muon, adam]
