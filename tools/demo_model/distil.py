"""Stages "high" and "low": a LoRA for each expert that walks in one step where the teacher walks in three, unguided.

The student makes its own run from the teacher's noise; in every step it learns the velocity that leads from where it
is to where the teacher is at the step's end (progressive distillation, Salimans and Ho 2022, on the student's states).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from wan.loading.layouts import Checkpoint
from wan.loading.models import load_expert
from wan.sampling.plan import Expert
from wan.sampling.schedule import SigmaGrid

from .denoiser_fast import predict
from .store import Budget, Clock, Ema, Log, Schedule, load_state, save_atomically, step_generator
from .train_denoiser import FIRST_FRAME_WEIGHT
from .trajectories import Trajectories

RANK, EMA_DECAY, SEED = 16, 0.99, 12
BATCHES = {"high": 8, "low": 16}
"""Clips in a training step; the high-noise expert makes three steps of each."""
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
TARGETS = (*(f"{a}.{p}" for a in ("attn1", "attn2") for p in _PROJECTIONS), "ffn.net.0.proj", "ffn.net.2")
STAGES = {"high": Expert.HIGH_NOISE, "low": Expert.LOW_NOISE}
FILES = {"high": "high_noise_model.safetensors", "low": "low_noise_model.safetensors"}


class LowRank(nn.Module):
    """Adds a product of two narrow matrices to a weight (out, in)."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out_features, in_features = weight.shape
        self.down = nn.Parameter(torch.randn(rank, in_features) * in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(out_features, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilSettings:
    """What a stage can be told."""

    budget: Budget
    rate: float = 1e-3
    save_every_seconds: float = 60.0
    log_every: int = 20


class Student:
    """One expert with low-rank additions to its blocks; the rest does not train."""

    def __init__(self, checkpoint: Checkpoint, stage: str) -> None:
        torch.manual_seed(SEED)
        self.stage = stage
        self.model = load_expert(checkpoint, STAGES[stage], dtype=torch.float32, device=torch.device("cpu"))
        self.added: dict[str, LowRank] = {}
        for number in range(len(self.model.blocks)):
            for target in TARGETS:
                name = f"blocks.{number}.{target}"
                linear = self.model.get_submodule(name)
                self.added[name] = LowRank(linear.weight, RANK)
                parametrize.register_parametrization(linear, "weight", self.added[name])
        self.modules = nn.ModuleDict({name.replace(".", "/"): module for name, module in self.added.items()})

    def velocity(self, latents: Tensor, timestep: int, text: Tensor) -> Tensor:
        """(B, 16, F, h, w) at one timestep."""
        with torch.autocast("cpu", torch.bfloat16), parametrize.cached():
            return predict(self.model, latents, torch.full((len(latents),), float(timestep)), text).float()

    def tensors(self) -> dict[str, Tensor]:
        """The additions as diffusers and PEFT name them, in half precision."""
        named = {}
        for name, module in self.added.items():
            named[f"transformer.{name}.lora_A.weight"] = module.down.detach().half().contiguous()
            named[f"transformer.{name}.lora_B.weight"] = module.up.detach().half().contiguous()
        return named


def own_places(stage: str, grid: SigmaGrid, boundary: float) -> list[int]:
    """The student's steps that one expert makes."""
    is_high = [timestep >= 1000 * boundary for timestep in grid.timesteps]
    return [place for place, high in enumerate(is_high) if high == (stage == "high")]


def train_student(
    student: Student, data: Trajectories, grid: SigmaGrid, places: Sequence[int], settings: DistilSettings,
    *, starts: Tensor, work_dir: Path, log: Log,
) -> None:  # fmt: skip
    """Trains one stage until its budget is used; ``starts`` (N, 16, F, h, w): where its first step begins."""
    path = work_dir / f"{student.stage}.pt"
    optimizer = torch.optim.AdamW(student.modules.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=0.0)
    ema, clock, step = Ema(student.modules, decay=EMA_DECAY), Clock(), 0
    schedule = Schedule(warmup_steps=20, flat_until=0.5)
    if state := load_state(path):
        student.modules.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        ema.values, step, clock = state["ema"], state["step"], Clock(seconds_before=state["seconds"])

    def save() -> None:
        parts = {"model": student.modules.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.values}
        save_atomically(parts | {"step": step, "seconds": clock.seconds}, path)

    running: list[Tensor] = []
    while (fraction := settings.budget.fraction(step=step, seconds=clock.seconds)) < 1:
        rows = torch.randint(len(data.text), (BATCHES[student.stage],), generator=step_generator(SEED, step))
        optimizer.zero_grad(set_to_none=True)
        running.append(rollout_errors(student, data, grid, places, rows, starts=starts[rows], learn=True))
        nn.utils.clip_grad_norm_(student.modules.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * schedule.factor(step=step, fraction=fraction)
        optimizer.step()
        step += 1
        ema.update(student.modules, step=step)
        if step % settings.log_every == 0:
            means = torch.stack(running).mean(dim=0).tolist()
            named = {f"error_{place}": error for place, error in zip(places, means, strict=True)}
            log.write(student.stage, step=step, seconds=clock.seconds, **named)
            running = []
        if clock.due("save", settings.save_every_seconds):
            save()
    save()


def rollout_errors(
    student: Student, data: Trajectories, grid: SigmaGrid, places: Sequence[int], rows: Tensor, *,
    starts: Tensor, learn: bool,
) -> Tensor:  # fmt: skip
    """Mean squared error of the velocity in each of the stage's steps, on the student's own way; with ``learn`` their
    gradients are added up."""
    latents, text, errors = starts, data.text[rows], []
    weight = torch.ones(latents.shape[2], 1, 1)
    weight[0] = FIRST_FRAME_WEIGHT
    for place in places:
        span = grid.sigmas[place] - grid.sigmas[place + 1]
        wanted = (latents - data.states[place + 1][rows]) / span
        velocity = student.velocity(latents, grid.timesteps[place], text)
        error = ((velocity - wanted).square() * (weight / weight.mean())).mean()
        if learn:
            error.backward()
        latents = latents - span * velocity.detach()
        errors.append(error.detach())
    return torch.stack(errors)


@torch.no_grad()
def walk(student: Student, data: Trajectories, grid: SigmaGrid, places: Sequence[int], latents: Tensor) -> Tensor:
    """Where the student's steps lead from ``latents`` (N, 16, F, h, w)."""
    parts = []
    for rows in torch.arange(len(latents)).split(16):
        here = latents[rows]
        for place in places:
            span = grid.sigmas[place] - grid.sigmas[place + 1]
            here = here - span * student.velocity(here, grid.timesteps[place], data.text[rows])
        parts.append(here)
    return torch.cat(parts)


def with_average(student: Student, work_dir: Path) -> Student:
    """The student with the averaged additions of its training."""
    state = load_state(work_dir / f"{student.stage}.pt")
    if state is None:
        raise FileNotFoundError(f"{work_dir} has no state of the stage '{student.stage}': run it first")
    student.modules.load_state_dict(state["ema"])
    return student


def export(students: Sequence[Student], target: Path, *, command: str) -> None:
    """One safetensors file for each expert, under the names of published pairs."""
    target.mkdir(parents=True, exist_ok=True)
    for student in students:
        notes = {"format": "pt", "made_by": command, "steps": "4", "guidance": "1", "solver": "euler"}
        save_file(student.tensors(), target / FILES[student.stage], metadata=notes)
