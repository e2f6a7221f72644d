"""A tuning run: record, measure, search and verify. What was computed is on disk, and an interrupted run continues."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from wan.errors import InvalidInput
from wan.job import Job
from wan.planning.carry import carried
from wan.planning.stored import Baseline, Calibration, StoredPlan, StoredStep, write_calibration
from wan.runs import checkpoint_identity, write_json_atomic
from wan.sampling.guard import SeenRecorder
from wan.sampling.plan import Plan
from wan.session import Session
from wan.tune.amplification import measure, measured_steps
from wan.tune.clips import TuneClip
from wan.tune.fitting import Kept
from wan.tune.lockstep import ClipBatch
from wan.tune.options import TuneOptions, steps_for
from wan.tune.recording import Recording, record
from wan.tune.search import Trial, Workshop, candidate, coordinate_search, robust
from wan.tune.surrogate import Surrogate, decibels
from wan.tune.verify import Score, expected, score_plans

PROPOSALS = 3
"""Of the surrogate's plans so many are made; the best of them is where the search starts."""
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
        """Everything, budget by budget from the cheapest; the calibration is written after each of them."""
        self._claim_folder()
        plain = self.job.plan
        batch = ClipBatch.of(self.session, self.clips, plain, at_once=self.options.at_once)
        recording = self._record(batch)
        surrogate = Surrogate(recording, self._amplification(recording))
        log = TrialLog(self.folder / "trials.jsonl")
        plans: list[StoredPlan] = []
        for budget in sorted(self.options.budgets):
            best, estimate = self._search(budget, batch, recording, surrogate, log)
            plans.append(self._stored(budget, best, estimate, batch))
            write_calibration(self.output, self._calibration(plans))
        calibration = self._calibration(self._verified(plans))
        write_calibration(self.output, calibration)
        return calibration

    def _claim_folder(self) -> None:
        """A folder belongs to one checkpoint, baseline and set of clips."""
        identity = {
            "checkpoint": checkpoint_identity(self.session.checkpoint.path)["id"],
            "baseline": asdict(self._baseline()),
            "clips": [asdict(clip) for clip in self.clips],
        }
        path = self.folder / "tune.json"
        identity = json.loads(json.dumps(identity))
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != identity:
            raise InvalidInput(
                f"--work_dir {self.folder} holds another tuning run (another checkpoint, baseline or set of clips); "
                "give another folder, or remove it"
            )
        write_json_atomic(path, identity)

    def _record(self, batch: ClipBatch) -> Recording:
        with self._bar("recording", len(self.job.plan.steps), "step") as bar:
            return record(batch, self.job.plan, self.folder / "recording.safetensors", tick=bar.update)

    def _amplification(self, recording: Recording) -> list[float]:
        path = self.folder / "amplification.json"
        if path.is_file():
            found: list[float] = json.loads(path.read_text(encoding="utf-8"))
            return found
        few = self.clips[: self.options.amplification_clips]
        batch = ClipBatch.of(self.session, few, self.job.plan, at_once=self.options.at_once)
        steps = measured_steps(len(self.job.plan.steps), self.options.amplification_steps)
        with self._bar("amplification", len(steps), "sigma") as bar:
            found = measure(batch, self.job.plan, recording, steps, tick=bar.update)
        write_json_atomic(path, found)
        return found

    def _search(
        self, budget: float, batch: ClipBatch, recording: Recording, surrogate: Surrogate, log: "TrialLog"
    ) -> tuple[Trial, float]:
        """The best plan of a budget, and the surrogate's estimate in dB of the plan that the search started from."""
        workshop = Workshop(batch, self.job.plan, recording, kept=self._kept)
        count = steps_for(budget, len(self.job.plan.steps))
        with self._bar(f"budget {budget:g}", self.options.trials, "trial") as bar:
            left = self.options.trials

            def make(sigmas: tuple[float, ...]) -> Trial | None:
                nonlocal left
                if left == 0:
                    return None
                left -= 1
                bar.update()
                return log.made(sigmas) or log.keep(workshop.make(sigmas))

            def accept(trial: Trial) -> None:
                bar.set_postfix_str(f"{trial.objective:.2f} dB")

            proposed = surrogate.propose(count)[: min(PROPOSALS, self.options.trials)]
            made = [(trial, kept) for kept in proposed if (trial := make(_sigmas(self.job.plan, kept)))]
            start, kept = max(made, key=lambda item: item[0].objective)
            accept(start)
            best = coordinate_search(start, make, accept=accept)
        estimate = robust(decibels(surrogate.error(kept)).tolist())
        self.say(
            f"budget {budget:g}: {best.objective:.2f} dB (latents; estimated {estimate:.2f} at the start, "
            f"made {start.objective:.2f})"
        )
        return (best if best.updates else workshop.make(best.sigmas)), estimate

    def _stored(self, budget: float, best: Trial, estimate: float, batch: ClipBatch) -> StoredPlan:
        """The plan with what its own run on the tuning clips shows at every step."""
        plan = candidate(self.job.plan, best.sigmas, best.updates)
        recorder = SeenRecorder()
        batch.run(plan, observers=[recorder])
        steps = tuple(
            StoredStep(sigma=step.sigma, timestep=step.timestep, expert=step.expert, update=update, seen=seen)
            for step, update, seen in zip(plan.steps, best.updates, recorder.seen, strict=True)
        )
        tuning = {
            "clips": len(best.quality),
            "latent_db": sum(best.quality) / len(best.quality),
            "latent_db_worst": min(best.quality),
            "objective_db": best.objective,
            "estimated_objective_db": estimate,
        }
        return StoredPlan(budget=budget, steps=steps, expected=None, tuning=tuning)

    def _verified(self, plans: Sequence[StoredPlan]) -> list[StoredPlan]:
        """The plans as a user would run them, on clips that they were not tuned on."""
        calibration = self._calibration(plans)
        runs: dict[float, Plan] = {
            plan.budget: carried(plan, calibration, self.job.settings, self.job.geometry) for plan in plans
        }
        scores: dict[float, list[Score]] = {plan.budget: [] for plan in plans}
        with self._bar("verification", len(self.verify_clips) * (1 + len(runs)), "video") as bar:
            for clip in self.verify_clips:
                for budget, score in score_plans(self.session, self.job.plan, runs, clip, tick=bar.update).items():
                    scores[budget].append(score)
        return [replace(plan, expected=expected(scores[plan.budget])) for plan in plans]

    def _calibration(self, plans: Sequence[StoredPlan]) -> Calibration:
        return Calibration(
            task=self.job.config.name,
            checkpoint=checkpoint_identity(self.session.checkpoint.path)["id"],
            command=self.command,
            baseline=self._baseline(),
            plans=tuple(sorted(plans, key=lambda plan: plan.forwards)),
        )

    def _baseline(self) -> Baseline:
        settings, geometry = self.job.settings, self.job.geometry
        return Baseline(
            solver=settings.solver,
            steps=settings.steps,
            shift=settings.shift,
            boundary=settings.boundary,
            guide_scale=(settings.low_noise_guidance_scale, settings.high_noise_guidance_scale),
            size=(geometry.width, geometry.height),
            frame_num=geometry.pixel_frames,
        )

    def _bar(self, what: str, total: int, unit: str) -> "tqdm[Any]":
        return tqdm(total=total, desc=what, unit=unit, disable=not self.show_progress)


class TrialLog:
    """The quality of every candidate so far, one JSON line each: a run that was stopped makes none of them twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[float, ...], tuple[float, ...]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the line that was being written when the run was stopped
            self._known[tuple(entry["sigmas"])] = tuple(entry["quality"])

    def made(self, sigmas: tuple[float, ...]) -> Trial | None:
        """A trial of an earlier run, without its weights."""
        quality = self._known.get(sigmas)
        return None if quality is None else Trial(sigmas=sigmas, updates=(), quality=quality)

    def keep(self, trial: Trial) -> Trial:
        """Append a trial."""
        self._known[trial.sigmas] = trial.quality
        line = json.dumps({"sigmas": trial.sigmas, "quality": trial.quality})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return trial


def _sigmas(plain: Plan, kept: Sequence[int]) -> tuple[float, ...]:
    return tuple(plain.steps[index].sigma for index in kept)
