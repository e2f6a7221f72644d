"""Runs an arena: clip by clip the baseline and every method on the same noise, each case scored and written at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from wan.analysis.comparison import finite
from wan.analysis.measures import MEASURES, Cost
from wan.errors import WanError
from wan.instruments.arena.contestants import Contestant
from wan.instruments.arena.store import Store
from wan.instruments.arena.truth import captions, read_truth
from wan.instruments.compare import make, observe
from wan.instruments.flags import Case
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.session import Session

Found = dict[str, list[dict[str, Any] | None]]
"""By method: its case of every clip, None where there is none (yet)."""
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

    def run(self) -> Found:
        """Make what is not on disk, and return every case as it stands there."""
        found: Found = {one.name: [] for one in self.contestants}
        missing = sum(1 for case in self.cases for one in self._able() if self.store.find(one, case) is None)
        if missing:
            plan = self.job.plan
            self._session(batched=False).warm_up([plan], prompt=self.cases[0].prompt)
        with tqdm(total=missing, unit="video", desc=self.store.folder.name, disable=not self.show_progress) as bar:
            for number, case in enumerate(self.cases, start=1):
                bar.set_postfix_str(f"clip {number} of {len(self.cases)}")
                for name, data in self._run_clip(case, bar):
                    found[name].append(data)
        return found

    def _able(self) -> list[Contestant]:
        return [one for one in self.contestants if one.method is not None]

    def _run_clip(self, case: Case, bar: "tqdm[Any]") -> Iterator[tuple[str, dict[str, Any] | None]]:
        """Every method's case; the baseline is made again for the clip when another method needs it."""
        kept = {one.name: self.store.find(one, case) for one in self._able()}
        plain = self.contestants[0]
        baseline = self._make(plain, case) if None in kept.values() else None
        for one in self.contestants:
            if one.method is not None and kept[one.name] is None:
                assert baseline is not None
                kept[one.name] = self.store.keep(one, case, self._score(one, case, baseline))
                bar.update()
            yield one.name, kept.get(one.name)

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
        video, cost, _ = make(session, one.method, case)
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
