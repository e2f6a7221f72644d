"""Stage "latents": encodes tens of thousands of rendered clips once, in shards, and measures their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan

from wan.demo_world.clips import as_indices, render, sample_clips
from wan.demo_world.words import held_out_combinations, training_combinations

from . import vae_fast
from .store import Log, load_state, save_atomically, step_generator
from .train_vae import Z_DIM, load_vae

SHARD = 512
CHUNK = 4  # small batches stay in the cache: twice as fast a clip as 16 on a CPU
HELD_OUT_CLIPS = 192
SEED = 2
STATISTICS_FILE = "latent_statistics.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentSet:
    """Normalised latents (N, 16, 13, 8, 8) as float16 and the attribute indices (N, 4) of their clips."""

    latents: torch.Tensor
    attributes: torch.Tensor


def encode_latents(*, work_dir: Path, clips: int, device: torch.device, log: Log) -> None:
    """Writes the held-out shard, then training shards until `clips` exist, then the statistics; keeps what is there."""
    vae = load_vae(work_dir).to(device)
    held_out = as_indices(held_out_combinations())
    repeated = held_out.repeat(-(-HELD_OUT_CLIPS // len(held_out)), 1)[:HELD_OUT_CLIPS]
    _encode_shard(work_dir / "held_out.pt", vae, repeated, seed_step=0)
    combinations = as_indices(training_combinations())
    for index in range(-(-clips // SHARD)):
        generator = step_generator(SEED, 1_000_000 + index)
        rows = combinations[torch.multinomial(_training_weights(), SHARD, replacement=True, generator=generator)]
        if _encode_shard(work_dir / "latents" / f"{index:04d}.pt", vae, rows, seed_step=1 + index):
            log.write("latents", clips=(index + 1) * SHARD)
    if not (work_dir / STATISTICS_FILE).exists():
        raw = _load_raw(sorted((work_dir / "latents").glob("*.pt"))[:8]).latents.float()
        statistics = {"mean": raw.mean(dim=(0, 2, 3, 4)), "std": raw.std(dim=(0, 2, 3, 4))}
        save_atomically(statistics, work_dir / STATISTICS_FILE)


def _training_weights() -> torch.Tensor:
    """How often each training combination is drawn: visible spinning, the hardest motion, three times the others."""
    spinning = {"circle": 0.5, "square": 3.0, "triangle": 3.0}
    return torch.tensor([spinning[c.shape] if c.motion == "spinning" else 1.0 for c in training_combinations()])


def load_statistics(work_dir: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the 16 latent channels over training clips."""
    state = load_state(work_dir / STATISTICS_FILE)
    if state is None:
        raise FileNotFoundError(f"no latents have been encoded in {work_dir}: run the stage 'latents' first")
    return state["mean"], state["std"]


def load_training_latents(work_dir: Path) -> LatentSet:
    """All training shards, normalised."""
    load_statistics(work_dir)
    return _normalised(work_dir, _load_raw(sorted((work_dir / "latents").glob("*.pt"))))


def load_held_out_latents(work_dir: Path) -> LatentSet:
    """Clips of the held-out combinations, normalised."""
    return _normalised(work_dir, _load_raw([work_dir / "held_out.pt"]))


def _normalised(work_dir: Path, raw: LatentSet) -> LatentSet:
    mean, std = (part.reshape(1, -1, 1, 1, 1) for part in load_statistics(work_dir))
    chunks = [((part.float() - mean) / std).half() for part in raw.latents.split(1024)]
    return LatentSet(latents=torch.cat(chunks), attributes=raw.attributes)


def _load_raw(paths: list[Path]) -> LatentSet:
    shards = [torch.load(path, weights_only=True) for path in paths]
    return LatentSet(
        latents=torch.cat([shard["latents"] for shard in shards]),
        attributes=torch.cat([shard["attributes"] for shard in shards]),
    )


@torch.no_grad()
def _encode_shard(path: Path, vae: AutoencoderKLWan, rows: torch.Tensor, *, seed_step: int) -> bool:
    """Renders and encodes one clip per row of attributes; False when the shard is there already."""
    if path.exists():
        return False
    generator = step_generator(SEED, seed_step)
    parts = []
    for chunk in rows.split(CHUNK):
        video = render(sample_clips(chunk, generator=generator)).to(vae.device) * 2 - 1
        with torch.autocast(vae.device.type, torch.bfloat16):
            parts.append(vae_fast.encode(vae, video)[:, :Z_DIM].half().cpu())
    save_atomically({"latents": torch.cat(parts), "attributes": rows}, path)
    return True
