"""The sample of clips behind every measured table of this repository's documents, and the job that makes them."""

from dataclasses import dataclass
from pathlib import Path

from wan.demo_world.words import Combination, held_out_by_motion
from wan.instruments.flags import DEMO_TASK, Case
from wan.job import Job, prepare
from wan.request import Request

PROMPTS_PER_MOTION, SEEDS = 2, (0, 1)
"""Two held-out prompts for each of the nine motions, with two seeds: 36 clips."""
MIN_CLIPS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """What a clip should show, and the prompt and seed that ask for it."""

    combination: Combination
    case: Case


def sample_clips(per_motion: int = PROMPTS_PER_MOTION, seeds: tuple[int, ...] = SEEDS) -> list[Clip]:
    """The first held-out prompts of every motion, each with every seed; none is picked by its result."""
    return [
        Clip(combination=combination, case=Case(prompt=combination.caption(), seed=seed))
        for combination in held_out_by_motion(per_motion)
        for seed in seeds
    ]


def demo_job(ckpt_dir: Path | None = None) -> Job:
    """The demo model in its default setting."""
    return prepare(Request(task=DEMO_TASK, ckpt_dir=ckpt_dir, prompt=""))
