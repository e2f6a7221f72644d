"""Runs an arena: clip by clip the baseline and every method on the same noise, each case scored and written at once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from wan.analysis.comparison import finite
from wan.analysis.measures import MEASURES, Cost
from wan.errors import WanError
from wan.instruments.arena.contestants import Contestant
from wan.instruments.arena.peers import peer_cache
from wan.instruments.arena.store import Store
from wan.instruments.arena.truth import captions, read_truth
from wan.instruments.compare import make, observe
from wan.instruments.flags import Case
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.session import Session

Found = Mapping[str, Sequence[Mapping[str, Any]]]
"""By method: its case of every clip as it is on disk; none for a method that cannot be planned."""
# What a method that does not fit this model or this library version raises; it stands in the table.
FAILURES = (WanError, RuntimeError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError)
_KEPT = ("psnr", "ssim", "motion", "baseline_motion", "motion_ratio")


@dataclass(kw_only=True, slots=True)
class Arena:
    """One suite on one checkpoint. ``with_truth``: the clips are the demo world's, and are read by its detector."""

    job: Job
    checkpoint: Checkpoint
    contestants: Sequence[Contestant]
    cases: Sequence[Case]
    store: Store
    with_truth: bool
    show_progress: bool = True
    _sessions: dict[bool, Session] = field(default_factory=dict)

    def run(self) -> None:
        """Make and write what is not on disk."""
        total = len(self.cases) * len(self._able())
        missing = sum(1 for case in self.cases for one in self._able() if self.store.find(one, case) is None)
        if missing:
            self._session(batched=False).warm_up([self.job.plan], prompt=self.cases[0].prompt)
        name, done = self.store.folder.name, total - missing
        with tqdm(total=total, initial=done, unit="video", desc=name, disable=not self.show_progress) as bar:
            for number, case in enumerate(self.cases, start=1):
                bar.set_postfix_str(f"clip {number} of {len(self.cases)}")
                self._run_clip(case, bar)

    def complete(self) -> tuple[list[Case], Found]:
        """The clips that every method has made (or failed on), and by method its case of each of them.

        A method that cannot be planned has none.
        """
        able = self._able()
        found = {one.name: [self.store.find(one, case) for case in self.cases] for one in able}
        whole = [place for place in range(len(self.cases)) if all(found[one.name][place] is not None for one in able)]
        kept = {
            one.name: [case for place in whole if (case := found[one.name][place]) is not None] if one in able else []
            for one in self.contestants
        }
        return [self.cases[place] for place in whole], kept

    def _able(self) -> list[Contestant]:
        return [one for one in self.contestants if one.method is not None]

    def _run_clip(self, case: Case, bar: "tqdm[Any]") -> None:
        """Every method that lacks the clip; the baseline is made again when another method needs it."""
        missing = [one for one in self._able() if self.store.find(one, case) is None]
        if not missing:
            return
        baseline = self._make(self.contestants[0], case)
        for one in missing:
            self.store.keep(one, case, self._score(one, case, baseline))
            bar.update()

    def _score(self, one: Contestant, case: Case, baseline: tuple[np.ndarray, Cost]) -> dict[str, Any]:
        """What is kept of one method on one clip, JSON-ready: cost and scores, or its error."""
        about = {"method": one.name, "prompt": case.prompt, "seed": case.seed}
        assert one.method is not None
        try:
            video, cost = baseline if one is self.contestants[0] else self._make(one, case)
        except FAILURES as error:
            return about | {"error": f"{type(error).__name__}: {error}"}
        seen = observe(one.method, video, baseline[0], cost=cost, baseline_cost=baseline[1])
        measures = {name: MEASURES[name].value(seen) for name in _KEPT}
        data = about | {"cost": asdict(cost), "measures": finite(measures)}
        if self.with_truth:
            data["truth"] = read_truth(video, captions()[case.prompt])
        return data

    def _make(self, one: Contestant, case: Case) -> tuple[np.ndarray, Cost]:
        assert one.method is not None
        session = self._session(batched=one.peer is not None and one.peer.batched)
        cache = None if one.peer is None else peer_cache(one.peer)
        video, cost, _ = make(session, one.method, case, cache=cache)
        return video, cost

    def _session(self, *, batched: bool) -> Session:
        """The session that evaluates both branches apart, or in one forward; made when first needed."""
        if batched not in self._sessions:
            machine = replace(self.job.request.machine, batch_cfg=batched)
            job = replace(self.job, request=replace(self.job.request, machine=machine))
            self._sessions[batched] = Session(job, checkpoint=self.checkpoint, show_progress=False)
        return self._sessions[batched]


def values_of(data: Mapping[str, Any]) -> dict[str, float]:
    """The measures of a case from disk: 'inf' is a number again."""
    return {name: float(value) for name, value in data["measures"].items()}
