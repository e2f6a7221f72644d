"""Checkpoints that survive a kill at any moment, budgets, schedules and the JSON-lines log of a training stage."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


def save_atomically(state: Any, path: Path) -> None:
    """Writes beside the target, then renames: a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_state(path: Path) -> dict[str, Any] | None:
    """The stage state saved at `path`, or None when the stage has not begun."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random source of one step: a resumed run draws what the uninterrupted one would have drawn."""
    return torch.Generator().manual_seed(seed * 10_000_019 + step)


class Log:
    """Appends one JSON object a line to a file and prints it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, stage: str, **values: float | int | str) -> None:
        """One line: the stage, the wall-clock time and the values, floats rounded to five digits."""
        rounded = {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}
        line = json.dumps({"stage": stage, "utc": time.strftime("%H:%M:%S", time.gmtime()), **rounded})
        with self._path.open("a") as file:
            file.write(line + "\n")
        print(line, file=sys.stdout, flush=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How long a stage trains: a number of minutes of training time, or a number of steps."""

    minutes: float | None = None
    steps: int | None = None

    def fraction(self, *, step: int, seconds: float) -> float:
        """How much of the budget is used, in [0, 1]."""
        used = step / self.steps if self.steps is not None else seconds / (60 * (self.minutes or 1.0))
        return min(used, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The learning rate's factor: a linear warm-up over steps, flat, then a cosine to `floor` at the budget's end."""

    warmup_steps: int = 100
    flat_until: float = 0.0
    floor: float = 0.0

    def factor(self, *, step: int, fraction: float) -> float:
        """The factor in [0, 1] at a step and a used fraction of the budget."""
        decay = max(0.0, (fraction - self.flat_until) / (1 - self.flat_until))
        cosine = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * decay))
        return min(1.0, (step + 1) / self.warmup_steps) * cosine


class Clock:
    """Training seconds over all sessions of a stage, and when the next periodic action is due."""

    def __init__(self, *, seconds_before: float = 0.0) -> None:
        self._started = time.monotonic() - seconds_before
        self._last: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Training seconds so far, earlier sessions included."""
        return time.monotonic() - self._started

    def due(self, name: str, every_seconds: float) -> bool:
        """True once per interval; the first time one interval after the first question."""
        now = time.monotonic()
        last = self._last.setdefault(name, now)
        if now - last < every_seconds:
            return False
        self._last[name] = now
        return True


class Ema:
    """Exponential moving average of parameters, with the usual faster start."""

    def __init__(self, module: torch.nn.Module, *, decay: float) -> None:
        self._decay = decay
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module, *, step: int) -> None:
        """Moves the average towards the module's present parameters."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = module.state_dict()
        floating = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in floating], [current[n] for n in floating], 1 - decay)
