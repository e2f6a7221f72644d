"""What a stored plan scores on clips that it was not tuned on: decoded, against the same-seed plain run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np

from wan.analysis.metrics import motion_amount, psnr
from wan.planning.stored import Expected
from wan.runs.journal import Journal
from wan.sampling.plan import Plan
from wan.session import Session
from wan.tune.clips import TuneClip

BEST_PSNR = 100.0
"""dB, of equal videos too: JSON has no infinity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One plan on one clip: PSNR in dB on decoded floats, its motion and the baseline's (mean change per frame)."""

    psnr: float
    motion: float
    baseline_motion: float


class Verifier:
    """Scores plans on clips; the journal keeps every score."""

    def __init__(self, session: Session, plain: Plan, journal: Journal) -> None:
        self._session = session
        self._plain = plain
        self._journal = journal
        self._known: dict[str, Score] = {entry["key"]: Score(**entry["score"]) for entry in journal.entries}

    def scores(self, plans: Mapping[float, Plan], clip: TuneClip) -> dict[float, Score]:
        """Every budget's plan on one clip; the plain run is made only where a score is missing."""
        missing = {key: plan for plan in plans.values() if (key := _key(plan, clip)) not in self._known}
        if missing:
            baseline = self._video(self._plain, clip)
            for key, plan in missing.items():
                score = _score(self._video(plan, clip), baseline)
                self._journal.append({"key": key, "score": asdict(score)})
                self._known[key] = score
        return {budget: self._known[_key(plan, clip)] for budget, plan in plans.items()}

    def _video(self, plan: Plan, clip: TuneClip) -> np.ndarray:
        sampled = self._session.sample(plan, prompt=clip.prompt, seed=clip.seed)
        return self._session.decode(sampled.latents)


def _key(plan: Plan, clip: TuneClip) -> str:
    """What decides a score: the clip and the plan's steps with their weights."""
    return hashlib.sha256(repr((clip, plan.steps)).encode()).hexdigest()


def _score(video: np.ndarray, baseline: np.ndarray) -> Score:
    return Score(
        psnr=min(psnr(video, baseline), BEST_PSNR),
        motion=motion_amount(video),
        baseline_motion=motion_amount(baseline),
    )


def expected(scores: Sequence[Score]) -> Expected:
    """The scores of one plan over all clips, as they are stored with it; a baseline without motion is matched."""
    baseline_motion = sum(score.baseline_motion for score in scores)
    return Expected(
        clips=len(scores),
        psnr=fmean(score.psnr for score in scores),
        psnr_worst=min(score.psnr for score in scores),
        motion=sum(score.motion for score in scores) / baseline_motion if baseline_motion else 1.0,
    )
