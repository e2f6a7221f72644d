"""The plan of a run: what its settings describe, or the best known one within its budget."""

from dataclasses import replace
from math import inf
from pathlib import Path

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.planning.carry import carried
from wan.planning.published import published_plan
from wan.planning.stored import Calibration, StoredPlan, read_calibration
from wan.runs.provenance import CALIBRATION_NAME, checkpoint_identity
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.settings import SamplingSettings


def plan_run(config: TaskConfig, settings: SamplingSettings, geometry: Geometry, *, ckpt_dir: Path | None) -> Plan:
    """Every step of a run, decided before the first forward; ``InvalidInput`` says what cannot be planned.

    ``ckpt_dir``: the checkpoint's folder, whose calibration a budget is answered from; None where there is none yet.
    """
    budget = settings.asked_budget
    if settings.plan is not None:
        return _from_file(settings.plan, settings, geometry, ckpt_dir)
    if budget is None or budget == 1.0:
        return make_plan(settings, geometry)
    found = None if ckpt_dir is None else ckpt_dir / CALIBRATION_NAME
    if found is None or not found.is_file():
        return published_plan(config, settings, geometry, budget=budget)
    return _from_file(found, settings, geometry, ckpt_dir)


def _from_file(path: Path, settings: SamplingSettings, geometry: Geometry, ckpt_dir: Path | None) -> Plan:
    calibration = read_calibration(path)
    stored = _within_budget(calibration, settings, path)
    plan = carried(stored, calibration, settings, geometry)
    notices = _checkpoint_notices(calibration, ckpt_dir, path)
    return replace(plan, notices=(*notices, *plan.notices))


def _within_budget(calibration: Calibration, settings: SamplingSettings, path: Path) -> StoredPlan:
    budget = settings.asked_budget
    if budget is None:
        if len(calibration.plans) > 1:
            known = ", ".join(f"{plan.budget:g}" for plan in calibration.plans)
            raise InvalidInput(f"--plan {path} holds plans for the budgets {known}; say which with --budget")
        return calibration.plans[0]
    stored = calibration.within(inf if budget == 1.0 else budget * 2 * settings.steps)
    if stored is None:
        cheapest = calibration.plans[0]
        raise InvalidInput(
            f"--budget {budget:g} of {settings.steps} steps pays for {int(budget * 2 * settings.steps)} forwards, and "
            f"the cheapest plan of {path} costs {cheapest.forwards}; raise --budget to at least "
            f"{cheapest.forwards / (2 * settings.steps):.2g}, or tune one with wan tune --budgets {budget:g}"
        )
    return stored


def _checkpoint_notices(calibration: Calibration, ckpt_dir: Path | None, path: Path) -> list[str]:
    if ckpt_dir is None or checkpoint_identity(ckpt_dir)["id"] == calibration.checkpoint:
        return []
    return [
        f"{path} was made for another checkpoint of {calibration.task} ({calibration.checkpoint[:12]}) than "
        f"{ckpt_dir}: its plan is carried over as it is; wan tune calibrates this one"
    ]
