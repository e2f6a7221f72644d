"""The plan of a run: what its settings describe, or the best known one within its budget."""

from dataclasses import replace
from pathlib import Path

from wan.budgets import enough
from wan.commands import command_line
from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.planning.carry import carried
from wan.planning.published import published_plan
from wan.planning.stored import Calibration, StoredPlan, read_calibration
from wan.runs.provenance import CALIBRATION_NAME, checkpoint_identity
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan, refuse_bad_values
from wan.settings import SamplingSettings


def plan_run(config: TaskConfig, settings: SamplingSettings, geometry: Geometry, *, ckpt_dir: Path | None) -> Plan:
    """Every step of a run, decided before the first forward; ``InvalidInput`` says what cannot be planned.

    ``ckpt_dir``: the checkpoint's folder, whose calibration a budget is answered from; None where there is none yet.
    """
    budget = settings.asked_budget
    if budget == 1.0 or (budget is None and settings.plan is None):
        return make_plan(settings, geometry)
    refuse_bad_values(settings)
    if settings.plan is not None:
        return _from_file(settings.plan, config, settings, geometry, ckpt_dir)
    assert budget is not None
    found = None if ckpt_dir is None else ckpt_dir / CALIBRATION_NAME
    if found is None or not found.is_file():
        return published_plan(config, settings, geometry, budget=budget)
    return _from_file(found, config, settings, geometry, ckpt_dir)


def _from_file(
    path: Path, config: TaskConfig, settings: SamplingSettings, geometry: Geometry, ckpt_dir: Path | None
) -> Plan:
    calibration = read_calibration(path)
    stored = _within_budget(calibration, settings, path)
    plan = carried(stored, calibration, settings, geometry)
    notices = _origin_notices(calibration, config, ckpt_dir, path)
    return replace(plan, notices=(*notices, *plan.notices))


def _within_budget(calibration: Calibration, settings: SamplingSettings, path: Path) -> StoredPlan:
    budget = settings.asked_budget
    if budget is None:
        if len(calibration.plans) > 1:
            known = ", ".join(f"{plan.budget:g}" for plan in calibration.plans)
            raise InvalidInput(f"--plan {path} holds plans for the budgets {known}; say which with --budget")
        return calibration.plans[0]
    plain = 2 * settings.steps
    stored = calibration.within(budget * plain)
    if stored is None:
        cheapest = calibration.plans[0].forwards
        raise InvalidInput(
            f"a budget of {budget:g} of {settings.steps} steps pays for {int(budget * plain + 1e-6)} forwards, and the "
            f"cheapest plan of {path} costs {cheapest}; raise it to at least {enough(cheapest / plain)}, or tune a "
            f"cheaper one: `{command_line('tune', '--budgets', f'{budget:g}')}`"
        )
    return stored


def _origin_notices(calibration: Calibration, config: TaskConfig, ckpt_dir: Path | None, path: Path) -> list[str]:
    """Where the plan comes from, if that is not this task's own checkpoint."""
    if ckpt_dir is not None and checkpoint_identity(ckpt_dir)["id"] == calibration.checkpoint:
        return []
    if ckpt_dir is None and config.name == calibration.task:
        return []
    here = f"{config.name} here" if ckpt_dir is None else f"{ckpt_dir} ({config.name})"
    return [
        f"{path} was made for another checkpoint (of {calibration.task}, {calibration.checkpoint[:12]}) than {here}: "
        f"its plan is carried over as it is; `{command_line('tune')}` calibrates this one"
    ]
