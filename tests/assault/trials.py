"""What the assault is made of: trials that name their fault, the parts that hold them, and the table of all."""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

Attack = Callable[[], str | None]
"""Does the harm and looks what came of it: None, or the fault in one line."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that is tried."""

    name: str
    attack: Attack


@dataclass(kw_only=True, slots=True)
class Plan:
    """The trials of a part. ``workers``: how many at a time; ``left_out``: what this machine does not allow."""

    trials: Sequence[Trial]
    workers: int = 2
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """``checked``: what a passed trial means, for the table. ``plan`` makes the trials in a folder of their own; with
    ``sample`` the few that continuous integration runs."""

    name: str
    checked: str
    plan: Callable[[Path, bool], Plan]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a part came to; ``faults`` by the names of their trials."""

    part: Part
    tried: int
    faults: dict[str, str]
    left_out: Sequence[str]
    seconds: float

    @property
    def passed(self) -> int:
        return self.tried - len(self.faults)


def run_part(
    part: Part, folder: Path, *, sample: bool, say: Callable[[str], None], match: Sequence[str] = ()
) -> Outcome:
    """Try everything that a part holds, or what has a word of ``match`` in its name."""
    start, faults = time.monotonic(), {}
    folder.mkdir(parents=True, exist_ok=True)
    plan = part.plan(folder, sample)
    trials = [trial for trial in plan.trials if not match or any(word in trial.name for word in match)]

    def attempt(trial: Trial) -> tuple[Trial, str | None]:
        try:
            return trial, trial.attack()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            return trial, f"raised {type(error).__name__}: {error}"

    with ThreadPoolExecutor(plan.workers) as pool:
        # one at a time in this thread: some trials set a signal's alarm
        attempts = map(attempt, trials) if plan.workers == 1 else pool.map(attempt, trials)
        for number, (trial, fault) in enumerate(attempts, start=1):
            if fault is not None:
                faults[trial.name] = " ".join(fault.split())[:600]
                say(f"  FAILED {part.name}: {trial.name}: {faults[trial.name]}")
            if number % 25 == 0 or number == len(trials):
                say(f"  {part.name}: {number} of {len(trials)} tried, {len(faults)} failed")
    return Outcome(
        part=part, tried=len(trials), faults=faults, left_out=plan.left_out, seconds=time.monotonic() - start
    )


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: part, tried, passed, what was checked, and what this machine left out."""
    lines = ["| part | tried | passed | what was checked |", "|---|---:|---:|---|"]
    for outcome in outcomes:
        checked = outcome.part.checked + "".join(f" Left out here: {reason}." for reason in outcome.left_out)
        lines.append(f"| {outcome.part.name} | {outcome.tried} | {outcome.passed} | {checked} |")
    tried, passed = sum(outcome.tried for outcome in outcomes), sum(outcome.passed for outcome in outcomes)
    return "\n".join([*lines, f"| all | {tried} | {passed} | |"])


def first_fault(*faults: str | None) -> str | None:
    """The first that there is."""
    return next((fault for fault in faults if fault), None)


def say(line: str) -> None:
    """One line of progress, at once."""
    stream = sys.__stderr__ or sys.stderr  # a trial may be catching what is printed meanwhile
    stream.write(line + "\n")
    stream.flush()
