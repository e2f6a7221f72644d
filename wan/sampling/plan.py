"""The plan: for every step its sigma, expert, latent frames and guidance, decided before the first forward."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from wan.sampling.geometry import Geometry
from wan.sampling.guidance import Branch, Guidance


class Expert(Enum):
    """Which denoiser a step runs through."""

    HIGH_NOISE = "high_noise"
    LOW_NOISE = "low_noise"
    SINGLE = "single"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step from ``sigma`` to ``sigma_next``; ``index`` counts from 0 over the whole run."""

    index: int
    sigma: float
    sigma_next: float
    timestep: int
    expert: Expert
    latent_frames: int
    guidance: Guidance

    @property
    def branches(self) -> tuple[Branch, ...]:
        return self.guidance.branches


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A maximal run of steps with one expert and one latent-frame count."""

    expert: Expert
    latent_frames: int
    steps: tuple[Step, ...]

    @property
    def sigma(self) -> float:
        """The noise level on entering the stage."""
        return self.steps[0].sigma


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The whole run as data. ``notices`` are the sentences about what was adjusted while planning."""

    geometry: Geometry
    solver: str
    shift: float
    boundary: float | None
    frame_completion: str | None
    steps: tuple[Step, ...]
    notices: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(_group(self.steps))

    @property
    def forwards(self) -> int:
        """Planned evaluations of a denoiser, one per branch and step."""
        return sum(len(step.branches) for step in self.steps)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """All step sigmas and the final one."""
        return (*(step.sigma for step in self.steps), self.steps[-1].sigma_next)

    @property
    def timesteps(self) -> tuple[int, ...]:
        return tuple(step.timestep for step in self.steps)


def _group(steps: tuple[Step, ...]) -> Iterator[Stage]:
    for (expert, latent_frames), group in groupby(steps, key=lambda step: (step.expert, step.latent_frames)):
        yield Stage(expert=expert, latent_frames=latent_frames, steps=tuple(group))
