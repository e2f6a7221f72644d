"""A tuning run: record, measure, search and verify. What was computed is on disk, and an interrupted run continues."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import wan
from wan.errors import InvalidInput
from wan.job import Job
from wan.planning.carry import carried
from wan.planning.stored import Baseline, Calibration, StoredPlan, StoredStep, write_calibration
from wan.runs import checkpoint_identity, write_json_atomic
from wan.runs.journal import Journal
from wan.sampling.plan import Plan
from wan.session import Session
from wan.tune.amplification import growth, interpolated
from wan.tune.clips import TuneClip
from wan.tune.fitting import Kept
from wan.tune.lockstep import ClipBatch
from wan.tune.options import TuneOptions, measured_steps, steps_for
from wan.tune.recording import Recording, record
from wan.tune.search import Workshop, candidate, coordinate_search, thinned, thinning_trials
from wan.tune.surrogate import Surrogate, decibels
from wan.tune.trials import Trial, TrialLog, robust
from wan.tune.verify import Verifier, expected

PROPOSALS = 3
"""Of the surrogate's plans so many are made; the best of them is where the search starts."""
SPARE_STEPS = 2
"""The dearest plan is sought among plans of so many steps more, too, which are then taken out."""
THINNING_SHARE = 0.5
"""Of the trials that are left, so many may go into making a dearer plan shorter; with fewer it is not tried."""
_KEPT_PREFIXES = 48


@dataclass(kw_only=True, slots=True)
class Tuner:
    """``job``: the plain run to stand for. ``folder`` holds what continues, ``output`` the calibration."""

    session: Session
    job: Job
    options: TuneOptions
    clips: Sequence[TuneClip]
    verify_clips: Sequence[TuneClip]
    folder: Path
    output: Path
    command: str
    say: Callable[[str], None]
    show_progress: bool = True
    _kept: Kept = field(default_factory=lambda: Kept(_KEPT_PREFIXES))

    def run(self) -> Calibration:
        """Everything, budget by budget from the dearest; the calibration is written when its plans are verified."""
        self._claim_folder()
        plain = self.job.plan
        batch = ClipBatch.of(self.session, self.clips, plain, at_once=self.options.at_once)
        recording = self._record(batch)
        surrogate = Surrogate(recording, self._amplification(recording))
        workshop = Workshop(batch, plain, recording, kept=self._kept)
        log = TrialLog(self.folder / "trials.jsonl")
        plans: list[StoredPlan] = []
        for budget in sorted(self.options.budgets, reverse=True):
            dearer = tuple(step.sigma for step in plans[-1].steps) if plans else self._roomy(budget, surrogate)
            plans.append(self._search(budget, workshop, surrogate, log, dearer=dearer))
        calibration = self._calibration(self._verified(plans))
        write_calibration(self.output, calibration)
        return calibration

    def _claim_folder(self) -> None:
        """A folder belongs to all that decides what is computed in it; ``InvalidInput`` for another run's."""
        path = self.folder / "tune.json"
        own = json.loads(json.dumps(self._identity()))
        if path.is_file() and _read(path) != own:
            raise InvalidInput(
                f"--work_dir {self.folder} holds another tuning run (another checkpoint, baseline, version or set of "
                "clips); give another folder, or remove it"
            )
        write_json_atomic(path, own)

    def _identity(self) -> dict[str, Any]:
        request = self.job.request
        return {
            "version": wan.__version__,
            "checkpoint": checkpoint_identity(self.session.checkpoint.path)["id"],
            "baseline": asdict(Baseline.of(self.job.settings, self.job.geometry)),
            "negative_prompt": self.job.negative_prompt,
            "image": None if request.image is None else hashlib.sha256(request.image.read_bytes()).hexdigest(),
            "dtype": request.machine.dtype or self.job.config.param_dtype,
            "device": self.session.device.type,
            "clips": [asdict(clip) for clip in self.clips],
        }

    def _record(self, batch: ClipBatch) -> Recording:
        with self._bar("recording", len(self.job.plan.steps), "step") as bar:
            return record(batch, self.job.plan, self.folder / "recording.safetensors", tick=bar.update)

    def _amplification(self, recording: Recording) -> list[float]:
        plain, clips = self.job.plan, self.options.amplification_clips
        journal = Journal(self.folder / "amplification.jsonl")
        known: dict[int, float] = {
            entry["step"]: entry["growth"] for entry in journal.entries if entry["clips"] == clips
        }
        batch = ClipBatch.of(self.session, self.clips[:clips], plain, at_once=self.options.at_once)
        steps = measured_steps(len(plain.steps), self.options.amplification_steps)
        with self._bar("amplification", len(steps), "sigma") as bar:
            for step in steps:
                if step not in known:
                    known[step] = growth(batch, plain, recording, step)
                    journal.append({"clips": clips, "step": step, "growth": known[step]})
                bar.update()
        return interpolated({step: known[step] for step in steps}, len(plain.steps))

    def _roomy(self, budget: float, surrogate: Surrogate) -> tuple[float, ...]:
        """For the dearest budget: the surrogate's best plan of more steps than it pays for."""
        plain = self.job.plan
        count = min(steps_for(budget, len(plain.steps)) + SPARE_STEPS, len(plain.steps))
        return _sigmas(plain, surrogate.propose(count)[0])

    def _search(
        self, budget: float, workshop: Workshop, surrogate: Surrogate, log: TrialLog, *, dearer: tuple[float, ...]
    ) -> StoredPlan:
        """The best plan of a budget, not verified yet. It starts from the surrogate's plans, or from the sigmas of the
        next ``dearer`` plan without some of its steps, if that is better when it is made."""
        plain, left = self.job.plan, self.options.trials
        count = steps_for(budget, len(plain.steps))
        with self._bar(f"budget {budget:g}", left, "trial") as bar:

            def make(sigmas: tuple[float, ...]) -> Trial | None:
                nonlocal left
                if left == 0:
                    return None
                left -= 1
                bar.update()
                return log.made(sigmas) or log.keep(workshop.make(sigmas))

            def accept(trial: Trial) -> None:
                bar.set_postfix_str(f"{trial.objective:.2f} dB")

            proposed = surrogate.propose(count)[:PROPOSALS]
            made = [(trial, kept) for kept in proposed if (trial := make(_sigmas(plain, kept)))]
            start, kept = max(made, key=lambda item: item[0].objective)
            if thinning_trials(len(dearer), count) <= left * THINNING_SHARE:
                start = max(filter(None, (start, thinned(dearer, count, make))), key=lambda trial: trial.objective)
            accept(start)
            best = coordinate_search(start, make, accept=accept)
        tuning = {
            "clips": len(best.quality),
            "trials": self.options.trials - left,
            "latent_db": sum(best.quality) / len(best.quality),
            "latent_db_worst": min(best.quality),
            "objective_db": best.objective,
            "start_objective_db": start.objective,
            "estimated_objective_db": robust(decibels(surrogate.error(kept)).tolist()),
        }
        self.say(
            f"budget {budget:g}: {best.objective:.2f} dB (latents; estimated {tuning['estimated_objective_db']:.2f} at "
            f"the start, made {start.objective:.2f})"
        )
        return StoredPlan(budget=budget, steps=_steps(plain, best), expected=None, tuning=tuning)

    def _verified(self, plans: Sequence[StoredPlan]) -> list[StoredPlan]:
        """The plans as a user would run them, on clips that they were not tuned on."""
        calibration = self._calibration(plans)
        runs: Mapping[float, Plan] = {
            plan.budget: carried(plan, calibration, self.job.settings, self.job.geometry) for plan in plans
        }
        verifier = Verifier(self.session, self.job.plan, Journal(self.folder / "scores.jsonl"))
        with self._bar("verification", len(self.verify_clips), "clip") as bar:
            scores = []
            for clip in self.verify_clips:
                scores.append(verifier.scores(runs, clip))
                bar.update()
        return [replace(plan, expected=expected([of_clip[plan.budget] for of_clip in scores])) for plan in plans]

    def _calibration(self, plans: Sequence[StoredPlan]) -> Calibration:
        return Calibration(
            task=self.job.config.name,
            checkpoint=checkpoint_identity(self.session.checkpoint.path)["id"],
            command=self.command,
            baseline=Baseline.of(self.job.settings, self.job.geometry),
            plans=tuple(sorted(plans, key=lambda plan: plan.forwards)),
        )

    def _bar(self, what: str, total: int, unit: str) -> "tqdm[Any]":
        return tqdm(total=total, desc=what, unit=unit, disable=not self.show_progress)


def _sigmas(plain: Plan, kept: Sequence[int]) -> tuple[float, ...]:
    return tuple(plain.steps[index].sigma for index in kept)


def _steps(plain: Plan, best: Trial) -> tuple[StoredStep, ...]:
    plan = candidate(plain, best.sigmas, best.updates)
    return tuple(
        StoredStep(sigma=step.sigma, timestep=step.timestep, expert=step.expert, update=update, seen=seen)
        for step, update, seen in zip(plan.steps, best.updates, best.seen, strict=True)
    )


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None  # damaged: nobody's
