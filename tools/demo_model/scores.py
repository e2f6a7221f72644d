"""What the evaluation measures: obedience to prompts, the detector itself, and the VAE's reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLWan

from wan.demo_world.clips import as_indices, render
from wan.demo_world.clips import sample_clips as sample_truth
from wan.demo_world.detector import UNCLEAR, Reading, read_clip
from wan.demo_world.words import Combination, all_combinations, held_out_combinations
from wan.sampling.plan import Plan
from wan.session import Session

from .train_vae import Z_DIM

ATTRIBUTES = ("colour", "background", "motion", "shape", "all_four")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Clips (N, 3, 49, 64, 64) made for prompts, what was asked and what the detector read."""

    videos: torch.Tensor
    asked: tuple[Combination, ...]
    seeds: tuple[int, ...]
    readings: tuple[Reading, ...]

    def obedience(self) -> dict[str, float]:
        """The share of clips that show what was asked, per attribute and for all four."""
        return share_right(self.readings, self.asked)


def share_right(readings: tuple[Reading, ...], asked: tuple[Combination, ...]) -> dict[str, float]:
    """The share of readings that agree with the truth, per attribute and for all four."""
    agreed = [reading.agrees(truth) for reading, truth in zip(readings, asked, strict=True)]
    return {name: sum(one[name] for one in agreed) / len(agreed) for name in ATTRIBUTES}


def sample_held_out(session: Session, plan: Plan, *, count: int, first_seed: int) -> HeldOut:
    """Samples held-out combinations, again from the first when `count` exceeds them, each with its own seed."""
    pool = held_out_combinations()
    asked = tuple(pool[index % len(pool)] for index in range(count))
    seeds = tuple(first_seed + index for index in range(count))
    videos = _made(session, plan, [one.caption() for one in asked], seeds)
    return HeldOut(videos=videos, asked=asked, seeds=seeds, readings=tuple(read_clip(video) for video in videos))


def by_word(sampled: HeldOut) -> dict[str, dict[str, float]]:
    """For every shape and motion: the share of clips asked for it in which it was read."""
    report: dict[str, dict[str, float]] = {}
    for attribute in ("shape", "motion"):
        words = sorted({getattr(one, attribute) for one in sampled.asked})
        report[attribute] = {}
        for word in words:
            chosen = [
                r for r, one in zip(sampled.readings, sampled.asked, strict=True) if getattr(one, attribute) == word
            ]
            report[attribute][word] = sum(getattr(reading, attribute) == word for reading in chosen) / len(chosen)
    return report


def empty_prompt(session: Session, plan: Plan, *, count: int, first_seed: int) -> HeldOut:
    """Samples the empty prompt; nothing was asked, so only the readings count."""
    seeds = tuple(first_seed + index for index in range(count))
    videos = _made(session, plan, [""] * count, seeds)
    return HeldOut(videos=videos, asked=(), seeds=seeds, readings=tuple(read_clip(video) for video in videos))


def plausible_share(sampled: HeldOut) -> float:
    """The share of clips in which every attribute is readable."""
    clear = [UNCLEAR not in (one.shape, one.colour, one.motion, one.background) for one in sampled.readings]
    return sum(clear) / len(clear)


def truth_clips(*, count: int, seed: int) -> tuple[torch.Tensor, tuple[Combination, ...]]:
    """Rendered clips (N, 3, 49, 64, 64) of held-out combinations, then of others, and what they show."""
    visible = [one for one in all_combinations() if not (one.shape == "circle" and one.motion == "spinning")]
    generator = torch.Generator().manual_seed(seed)
    others = [visible[i] for i in torch.randperm(len(visible), generator=generator).tolist()]
    chosen = tuple([*held_out_combinations(), *others][:count])
    return render(sample_truth(as_indices(chosen), generator=generator)), chosen


@torch.no_grad()
def reconstruct(vae: AutoencoderKLWan, videos: torch.Tensor, *, batch: int = 8) -> torch.Tensor:
    """Clips encoded and decoded by the checkpoint's own VAE."""
    parts = []
    for chunk in videos.split(batch):
        latents = vae.encode(chunk * 2 - 1).latent_dist.mode()
        assert latents.shape[1] == Z_DIM
        parts.append((vae.decode(latents).sample / 2 + 0.5).clamp(0, 1))
    return torch.cat(parts)


def psnr_report(decoded: torch.Tensor, videos: torch.Tensor, *, fps: int) -> dict[str, float]:
    """PSNR in dB: mean over clips of each clip's own; then of the mean error over all clips, which the worst ones rule,
    and that of frame 0, the first and the last second."""
    error = (decoded - videos).square().mean(dim=(1, 3, 4))
    parts = {"pooled": error, "frame_0": error[:, :1], "first_second": error[:, :fps], "last_second": error[:, -fps:]}
    pooled = {name: -10 * float(part.mean().log10()) for name, part in parts.items()}
    return {"mean_of_clips": -10 * float(error.mean(dim=1).log10().mean()), **pooled}


def _made(session: Session, plan: Plan, prompts: list[str], seeds: tuple[int, ...]) -> torch.Tensor:
    """One clip per prompt and seed: (N, 3, 49, 64, 64) in [0, 1]."""
    sampled = (session.sample(plan, prompt=p, seed=s) for p, s in zip(prompts, seeds, strict=True))
    videos = (torch.from_numpy(session.decode(one.latents)).permute(3, 0, 1, 2) for one in sampled)
    return torch.stack(list(videos))
