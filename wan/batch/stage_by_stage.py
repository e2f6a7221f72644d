"""Makes several requests stage by stage: all of them with the first expert, then all of them with the second.

A run stops where its experts switch, with everything on disk as after any step, and goes on when the others have come
as far. So each expert is read once for all of them instead of once for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wan.batch.claims import Claim
from wan.batch.making import Check, VideoMaker
from wan.batch.segments import Entry
from wan.batch.worker import Outcome
from wan.runs.record import Paused
from wan.sampling.observers import Observer
from wan.sampling.plan import Expert, Stage


@dataclass(frozen=True, slots=True)
class StageByStage:
    """``maker`` makes one request; its experts must outlive a run (``VideoMaker.holds_expert``)."""

    maker: VideoMaker

    def make(self, claims: Sequence[Claim], *, check: Check) -> list[Outcome]:
        """As ``wan.batch.worker.Maker``."""
        first = [self.maker.make_alone(claim, check, beside=_pausing(claim.entry)) for claim in claims]
        return [
            self.maker.make_alone(claim, check) if isinstance(outcome, Paused) else outcome
            for claim, outcome in zip(claims, first, strict=True)
        ]


@dataclass(slots=True)
class PausesAtSwitch(Observer):
    """Stops a run where another expert follows."""

    _expert: Expert | None = field(default=None, init=False)

    def on_stage_start(self, stage: Stage) -> None:
        if self._expert not in (None, stage.expert):
            raise Paused(f"the steps of the expert {stage.expert.value} come later")
        self._expert = stage.expert


def _pausing(entry: Entry) -> list[Observer]:
    """What cannot go on from a file is made in one go."""
    return [] if "--no_resume_file" in entry.argv else [PausesAtSwitch()]


def of_one_session(first: Entry, other: Entry) -> bool:
    """Whether two requests can be made so: the same models make them."""
    return first.session == other.session
