"""The plan: for every step its sigma, expert, latent frames and guidance, decided before the first forward."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby

from wan.sampling.cache_settings import CacheSettings
from wan.sampling.geometry import Geometry
from wan.sampling.guidance import Branch, Guidance
from wan.sampling.schedule import FITTED, SOLVER_NAMES
from wan.sampling.update import LinearUpdate


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the runs of a calibration showed at a step: the lowest and highest root mean square of the guided denoised
    estimate x0 ("norm"), and of its difference between neighbouring latent frames ("motion")."""

    norm: tuple[float, float]
    motion: tuple[float, float]


class Expert(Enum):
    """Which denoiser a step runs through."""

    HIGH_NOISE = "high_noise"
    LOW_NOISE = "low_noise"
    SINGLE = "single"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step from ``sigma`` to ``sigma_next``; ``index`` counts from 0 over the whole run.

    The denoiser places its latent frames at the temporal positions 0, 1, 2, ... times ``position_stride``. ``cached``:
    branches of the guidance that are not evaluated, because a cache (``wan.models.cache``) supplies them.

    How the solver moves: ``restarts`` makes it forget its history before the step, ``corrects`` False leaves out
    UniPC's corrector, and ``update`` holds the weights of a fitted step (solver "fitted").
    """

    index: int
    sigma: float
    sigma_next: float
    timestep: int
    expert: Expert
    latent_frames: int
    guidance: Guidance
    position_stride: int = 1
    cached: frozenset[Branch] = frozenset()
    restarts: bool = False
    corrects: bool = True
    update: LinearUpdate | None = None

    @property
    def branches(self) -> tuple[Branch, ...]:
        """What the guidance combines."""
        return self.guidance.branches

    @property
    def evaluated(self) -> tuple[Branch, ...]:
        """What the denoiser computes: the branches that no cache supplies."""
        return tuple(branch for branch in self.guidance.branches if branch not in self.cached)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A maximal run of steps with one expert, one latent-frame count and one spacing of the frames."""

    expert: Expert
    latent_frames: int
    steps: tuple[Step, ...]
    position_stride: int = 1

    @property
    def sigma(self) -> float:
        """The noise level on entering the stage."""
        return self.steps[0].sigma


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The whole run as data. ``notices`` are the sentences about what was adjusted while planning.

    ``plain_steps``: steps of the plain run that this plan stands for, where it has fewer itself. ``expectation``: what
    its calibration found of its error, and ``seen``: per step what the calibration's runs showed, where it has one.
    """

    geometry: Geometry
    solver: str
    shift: float
    boundary: float | None
    frame_completion: str | None
    steps: tuple[Step, ...]
    cache: CacheSettings | None = None
    plain_steps: int | None = None
    expectation: str | None = None
    seen: tuple[Seen | None, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(stages_of(self.steps))

    @property
    def forwards(self) -> int:
        """Planned evaluations of a denoiser, one per branch and step; at most these, where a cache decides later."""
        return sum(len(step.evaluated) for step in self.steps)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """All step sigmas and the final one."""
        return (*(step.sigma for step in self.steps), self.steps[-1].sigma_next)

    @property
    def timesteps(self) -> tuple[int, ...]:
        return tuple(step.timestep for step in self.steps)


def excerpt(plan: Plan, steps: Iterable[Step]) -> Plan:
    """Some steps of a plan, to warm up with or to time. A solver that is not fitted takes them: fitted weights need the
    steps before them."""
    solver = SOLVER_NAMES[0] if plan.solver == FITTED else plan.solver
    return replace(plan, solver=solver, steps=tuple(replace(step, update=None) for step in steps), seen=())


def stages_of(steps: tuple[Step, ...]) -> Iterator[Stage]:
    """The stages that steps fall into."""
    for (expert, frames, stride), group in groupby(steps, key=lambda s: (s.expert, s.latent_frames, s.position_stride)):
        yield Stage(expert=expert, latent_frames=frames, position_stride=stride, steps=tuple(group))
