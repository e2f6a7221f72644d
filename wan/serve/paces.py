"""How long requests take on this machine: measured on those that have finished, and on the one that runs."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

_REMEMBERED = 20
_BEFORE, _AFTER = ("text_encoding", "image_encoding", "expert_switch"), ("decode", "save")
"""Phases of a run beside its steps that every run has, until its last step and after it; loading a model is not among
them, as it stays loaded."""


@dataclass(slots=True)
class _Running:
    """When a run was first seen at work, and when its last step was seen."""

    first: tuple[float, float]
    last: tuple[float, float]


class Paces:
    """Speeds by session (equal model and machine settings), of the newest runs of each; times in seconds."""

    def __init__(self) -> None:
        self._speeds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._before: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._after: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._running: dict[str, _Running] = {}

    def learn(self, session: str, record: Mapping[str, Any]) -> None:
        """Take the FLOP/s of a finished run from its ``run.json``; what is no record teaches nothing."""
        try:
            timing, flops = record["timing"], float(record["forwards"]["executed_flops"])
            seconds = float(timing["inference"])
            before, after = (sum(float(timing.get(name, 0.0)) for name in names) for names in (_BEFORE, _AFTER))
        except (KeyError, TypeError, ValueError):
            return
        if seconds > 0 and flops > 0:
            self._speeds[session].append(flops / seconds)
            self._before[session].append(before)
            self._after[session].append(after)

    def whole(self, session: str, flops: float) -> float | None:
        """How long a run of so many FLOPs takes; None until one of that session has finished."""
        if not self._speeds[session]:
            return None
        return flops / median(self._speeds[session]) + median(self._before[session]) + median(self._after[session])

    def saw(self, id: str, *, done: float, now: float) -> None:
        """A request runs, and this share of its work is done."""
        seen = self._running.get(id)
        if seen is None or done < seen.first[1]:
            self._running[id] = _Running(first=(now, done), last=(now, done))
        elif done > seen.last[1]:
            if seen.first[1] == 0.0:
                seen.first = (now, done)  # until its first step it was loading
            seen.last = (now, done)

    def left(self, id: str, session: str, flops: float) -> float | None:
        """How long a running request still takes: by its own pace, or before that is known by the others'."""
        seen, whole = self._running.get(id), self.whole(session, flops)
        after = median(self._after[session]) if self._after[session] else 0.0
        if seen is None:
            return whole
        rest = 1.0 - seen.last[1]
        if seen.last[1] > seen.first[1]:
            seconds = (seen.last[0] - seen.first[0]) / (seen.last[1] - seen.first[1])
            return rest * seconds + after
        return None if whole is None else rest * (whole - after) + after

    def forget(self, id: str) -> None:
        """It runs no more."""
        self._running.pop(id, None)
