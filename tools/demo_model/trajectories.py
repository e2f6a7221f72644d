"""Stage "trajectories": the teacher's own runs, kept at the noise levels that a run of few steps visits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from wan.demo_world.words import training_combinations
from wan.job import Job, vary
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan
from wan.sampling.schedule import SigmaGrid, sigma_grid
from wan.session import Session

from .store import Log, load_state, save_atomically, step_generator
from .text import COMPACT_LENGTH

STUDENT_STEPS, TEACHER_STEPS, SHARD, SEED = 4, 12, 16, 11
STUDENT_SOLVER = "euler"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectories:
    """``states`` (5, N, 16, 13, 8, 8): latents at the student's noise levels, from noise to the clip; ``text``
    (N, COMPACT_LENGTH, D)."""

    states: Tensor
    text: Tensor


def student_grid(job: Job) -> SigmaGrid:
    """The noise levels of the student's run."""
    return sigma_grid(STUDENT_SOLVER, steps=STUDENT_STEPS, shift=job.settings.shift)


def teacher_plan(job: Job) -> Plan:
    """Full guidance and UniPC, on a grid that meets every noise level of the student (UniPC cannot begin at 1)."""
    plan = vary(job, sample_solver="dpm++", sample_steps=TEACHER_STEPS).plan
    start = sigma_grid("unipc", steps=TEACHER_STEPS, shift=plan.shift).sigmas[0]
    return replace(plan, solver="unipc", steps=(replace(plan.steps[0], sigma=start), *plan.steps[1:]))


def record_trajectories(session: Session, job: Job, *, work_dir: Path, clips: int, log: Log) -> None:
    """Writes shards of runs until ``clips`` exist; keeps those that are there."""
    plan = teacher_plan(job)
    combinations = training_combinations()
    for index in range(-(-clips // SHARD)):
        path = work_dir / "trajectories" / f"{index:04d}.pt"
        if path.exists():
            continue
        generator = step_generator(SEED, index)
        rows = torch.randint(len(combinations), (SHARD,), generator=generator).tolist()
        captions = [combinations[row].caption() for row in rows]
        noise = torch.randn(SHARD, *plan.geometry.latent_shape(), generator=generator)
        kept = _Kept(noise)
        contexts = _contexts(session, captions)
        session.pipeline.sample_batch(plan, contexts, noise=noise, observers=[kept])
        text = contexts[Branch.COND][:, :COMPACT_LENGTH].clone()
        save_atomically({"states": torch.stack(kept.states), "text": text}, path)
        log.write("trajectories", clips=(index + 1) * SHARD)


def load_trajectories(work_dir: Path) -> Trajectories:
    """All shards; FileNotFoundError when there is none."""
    shards = [load_state(path) for path in sorted((work_dir / "trajectories").glob("*.pt"))]
    found = [shard for shard in shards if shard is not None]
    if not found:
        raise FileNotFoundError(f"{work_dir} has no trajectories: run the stage 'trajectories' first")
    return Trajectories(
        states=torch.cat([shard["states"] for shard in found], dim=1),
        text=torch.cat([shard["text"] for shard in found]),
    )


class _Kept(Observer):
    """The noise, and the latents after every third step of the teacher."""

    def __init__(self, noise: Tensor) -> None:
        self.states = [noise]

    def on_step_end(self, event: StepEvent) -> None:
        if (event.step.index + 1) % (TEACHER_STEPS // STUDENT_STEPS) == 0:
            self.states.append(event.latents_out.clone())


def _contexts(session: Session, captions: Sequence[str]) -> dict[Branch, Tensor]:
    """Text embeddings (N, T, D) of the captions and of the negative prompt."""
    each = [session.contexts(caption) for caption in captions]
    return {branch: torch.cat([one[branch] for one in each]) for branch in each[0]}
