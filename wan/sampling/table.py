"""The plan as text for people and as plain data for ``run.json``."""

from dataclasses import asdict
from typing import Any

from wan.sampling.plan import Expert, Plan, Step
from wan.sampling.price import PriceTag

_EXPERT_NAMES = {Expert.HIGH_NOISE: "high noise", Expert.LOW_NOISE: "low noise", Expert.SINGLE: "single"}
_HEADER = f"{'step':>4}  {'sigma':>8}  {'t':>4}  {'expert':<10}  {'latent frames':>13}  {'passes':>6}  guidance"


def format_plan(plan: Plan) -> str:
    """One line per step, a rule where a stage ends."""
    geometry = plan.geometry
    lines = [
        f"{geometry.pixel_frames} frames of {geometry.width}x{geometry.height} -> {geometry.latent_frames} latent "
        f"frames of {geometry.latent_width}x{geometry.latent_height}, {geometry.tokens(geometry.latent_frames)} "
        f"tokens; {_steps(plan)}, shift {plan.shift:g}",
        _HEADER,
    ]
    for number, stage in enumerate(plan.stages):
        if number:
            lines.append(_stage_change(plan, number))
        lines += [
            f"{step.index + 1:>4}  {step.sigma:>8.6f}  {step.timestep:>4}  {_EXPERT_NAMES[step.expert]:<10}  "
            f"{_frames(step):>13}  {len(step.evaluated):>6}  {_guidance(step)}"
            for step in stage.steps
        ]
    return "\n".join(lines)


def format_price(tag: PriceTag) -> str:
    """Cost of the plan beside the plain plan's, with the fraction."""
    planned, plain, fractions = tag.planned, tag.plain, tag.fractions()
    rows = [
        ("forwards", f"{planned.forwards}", f"{plain.forwards}", fractions["forwards"]),
        ("token-forwards", f"{planned.token_forwards:,}", f"{plain.token_forwards:,}", fractions["token_forwards"]),
        ("FLOPs (estimate)", f"{planned.flops:.3g}", f"{plain.flops:.3g}", fractions["flops"]),
        ("frame-steps", f"{planned.frame_steps:,}", f"{plain.frame_steps:,}", fractions["frame_steps"]),
    ]
    lines = [f"{'cost':<16}  {'this plan':>13}  {'plain plan':>13}  fraction"]
    lines += [f"{name:<16}  {this:>13}  {other:>13}  {fraction:>8.3f}" for name, this, other, fraction in rows]
    return "\n".join(lines)


def plan_record(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-ready data: ``steps`` and ``stages``."""
    return {
        "solver": plan.solver,
        "shift": plan.shift,
        "boundary": plan.boundary,
        "frame_completion": plan.frame_completion,
        "cache": plan.cache.record() if plan.cache else None,
        "plain_steps": plan.plain_steps,
        "expectation": plan.expectation,
        "steps": [
            {
                "index": step.index,
                "sigma": step.sigma,
                "timestep": step.timestep,
                "expert": step.expert.value,
                "latent_frames": step.latent_frames,
                "position_stride": step.position_stride,
                "branches": [branch.value for branch in step.evaluated],
                "cached": [branch.value for branch in step.branches if branch in step.cached],
                "guidance": step.guidance.label,
                "restarts": step.restarts,
                "corrects": step.corrects,
                "update": None if step.update is None else asdict(step.update),
            }
            for step in plan.steps
        ],
        "stages": [
            {"expert": stage.expert.value, "latent_frames": stage.latent_frames, "steps": len(stage.steps)}
            for stage in plan.stages
        ],
    }


def _steps(plan: Plan) -> str:
    steps = f"{len(plan.steps)} steps of {plan.solver}"
    return steps if plan.plain_steps is None else f"{steps} weights, for {plan.plain_steps} plain ones"


def _frames(step: Step) -> str:
    return f"{step.latent_frames}" if step.position_stride == 1 else f"{step.latent_frames} every 2nd"


def _guidance(step: Step) -> str:
    marks = {"from the cache": step.cached, "restart": step.restarts, "no corrector": not step.corrects}
    return ", ".join([step.guidance.label, *(mark for mark, is_set in marks.items() if is_set)])


def _stage_change(plan: Plan, number: int) -> str:
    before, after = plan.stages[number - 1], plan.stages[number]
    names = [_EXPERT_NAMES[stage.expert] for stage in (before, after)]
    changes = [" -> ".join(dict.fromkeys(names))]
    if before.latent_frames != after.latent_frames:
        how = "every second one" if after.latent_frames < before.latent_frames else plan.frame_completion
        changes.append(f"{before.latent_frames} -> {after.latent_frames} latent frames ({how})")
    return f"      ---- {', '.join(changes)} ----"
