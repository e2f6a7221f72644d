"""What ``run.json`` and the files of a run say of it."""

from collections import Counter
from typing import Any

from wan.job import Job, cut_texts
from wan.loading.layouts import Checkpoint
from wan.parameters_text import parameters_text
from wan.resuming import resume_record
from wan.runs import RunRecord, checkpoint_identity, environment_versions
from wan.runs.record import PARAMETERS, file_metadata
from wan.sampling.observers import ForwardCounter
from wan.sampling.plan import Plan
from wan.sampling.price import forwards_by, price
from wan.sampling.table import plan_record


def initial_record(job: Job, checkpoint: Checkpoint, *, seed: int, device: str) -> dict[str, Any]:
    """What ``run.json`` says from the start."""
    plan = job.plan
    extension = {} if job.extension is None else {"prompt_extension": job.extension.record()}
    return {
        "task": job.config.name,
        "prompt": job.prompt,
        **extension,
        "negative_prompt": job.negative_prompt,
        "seed": seed,
        "command": job.request.command(seed=seed),
        PARAMETERS: parameters_text(job, seed=seed),
        "settings": job.record() | {"device": device},
        "adjustments": [*job.notices, *cut_texts(job, checkpoint)],
        "forwards": planned_forwards(plan) | {"executed": 0},
        "versions": environment_versions(device),
        "checkpoint": checkpoint_identity(checkpoint.path),
        "resume": resume_record(job.asked or job.request, seed=seed),
        "plan": plan_record(plan) | {"price": price(plan, checkpoint.denoiser_size).as_dict()},
    }


def executed_forwards(plan: Plan, counter: ForwardCounter, *, beside: Counter[str]) -> dict[str, Any]:
    """Planned and executed forwards; ``beside``: those of an instrument."""
    executed = counter.counts - beside
    return (
        planned_forwards(plan)
        | {
            "executed": executed.total(),
            "planned_by": forwards_by(plan),
            "executed_by": dict(executed),
            "executed_token_forwards": counter.token_forwards,
            "executed_flops": counter.flops,
        }
        | ({"evaluated_beside": dict(beside)} if beside else {})
    )


def planned_forwards(plan: Plan) -> dict[str, Any]:
    """With a cache that decides while sampling, the plan has the most forwards that there can be."""
    is_bound = plan.cache is not None and not plan.cache.is_planned
    return {"planned": plan.forwards} | ({"planned_is_upper_bound": True} if is_bound else {})


def run_metadata(record: RunRecord) -> dict[str, str]:
    """What the files of a run carry with them."""
    return file_metadata(record.sections)
