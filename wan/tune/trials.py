"""Trials: candidates that were made on all tuning clips, what they scored, and the journal that keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wan.runs.journal import Journal
from wan.sampling.plan import Seen
from wan.sampling.update import LinearUpdate

WORST_SHARE = 1 / 6
WORST_WEIGHT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A candidate, made: its sigmas, the fitted weights, what its run showed at every step, and each clip's quality in
    dB (latents)."""

    sigmas: tuple[float, ...]
    updates: tuple[LinearUpdate, ...]
    seen: tuple[Seen, ...]
    quality: tuple[float, ...]

    @property
    def objective(self) -> float:
        """What the search maximises: the mean over the clips, and as much the mean of the worst of them."""
        return robust(self.quality)


def robust(quality: Sequence[float]) -> float:
    """dB: half the mean over all clips plus half the mean over the worst sixth of them (at least two)."""
    worst = sorted(quality)[: max(2, round(len(quality) * WORST_SHARE))]
    return (1 - WORST_WEIGHT) * float(np.mean(quality)) + WORST_WEIGHT * float(np.mean(worst))


class TrialLog:
    """Every candidate so far, by its sigmas: a run that was stopped makes none of them twice."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        # entries without weights are of an earlier version
        trials = [_trial(entry) for entry in self._journal.entries if "updates" in entry]
        self._known = {trial.sigmas: trial for trial in trials}

    def made(self, sigmas: tuple[float, ...]) -> Trial | None:
        """The trial of these sigmas, None where there is none yet."""
        return self._known.get(sigmas)

    def keep(self, trial: Trial) -> Trial:
        """Write a trial down."""
        self._journal.append(asdict(trial))
        self._known[trial.sigmas] = trial
        return trial


def _trial(entry: Mapping[str, Any]) -> Trial:
    return Trial(
        sigmas=tuple(entry["sigmas"]),
        updates=tuple(
            LinearUpdate(noise=one["noise"], denoised=tuple(one["denoised"]), differences=tuple(one["differences"]))
            for one in entry["updates"]
        ),
        seen=tuple(Seen(norm=tuple(one["norm"]), motion=tuple(one["motion"])) for one in entry["seen"]),
        quality=tuple(entry["quality"]),
    )
