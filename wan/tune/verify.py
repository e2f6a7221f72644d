"""What a stored plan scores on clips that it was not tuned on: decoded, against the same-seed plain run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from wan.analysis.metrics import motion_amount, psnr
from wan.planning.stored import Expected
from wan.sampling.plan import Plan
from wan.session import Session
from wan.tune.clips import TuneClip


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One plan on one clip: PSNR in dB on decoded floats, its motion and the baseline's (mean change per frame)."""

    psnr: float
    motion: float
    baseline_motion: float


def score_plans(
    session: Session, plain: Plan, plans: Mapping[float, Plan], clip: TuneClip, *, tick: Callable[[], object]
) -> dict[float, Score]:
    """Every budget's plan on one clip."""

    def video(plan: Plan) -> np.ndarray:
        sampled = session.sample(plan, prompt=clip.prompt, seed=clip.seed)
        tick()
        return session.decode(sampled.latents)

    baseline = video(plain)
    return {budget: _score(video(plan), baseline) for budget, plan in plans.items()}


def _score(video: np.ndarray, baseline: np.ndarray) -> Score:
    return Score(psnr=psnr(video, baseline), motion=motion_amount(video), baseline_motion=motion_amount(baseline))


def expected(scores: Sequence[Score]) -> Expected:
    """The scores of one plan over all clips, as they are stored with it."""
    return Expected(
        clips=len(scores),
        psnr=fmean(score.psnr for score in scores),
        psnr_worst=min(score.psnr for score in scores),
        motion=sum(score.motion for score in scores) / max(sum(score.baseline_motion for score in scores), 1e-12),
    )
