"""Times a real checkpoint: every variant through the entry class, and diffusers' WanPipeline beside them."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wan.instruments.bench.reference import Reference
from wan.instruments.bench.tables import row
from wan.instruments.bench.timing import Timed, time_in_turns, wall_seconds
from wan.instruments.bench.variants import PLAIN, Setting, Variant
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.pipeline import Pipeline
from wan.sampling.plan import Plan
from wan.sampling.protocols import Contexts
from wan.session import Session

REFERENCE = "diffusers WanPipeline"
_REFERENCE_LAYOUT = "diffusers"
_SEED = 0


@dataclass(kw_only=True, slots=True)
class _Bench:
    """The models, and the latents that each variant made last."""

    pipeline: Pipeline
    contexts: Contexts
    reference: Reference | None
    latents: dict[str, Tensor] = field(default_factory=dict)

    def timed(self, name: str, variant: Variant) -> Timed:
        def run() -> None:
            self.latents[name] = self.pipeline.sample(variant.plan, self.contexts, seed=_SEED, engine=variant.engine)

        return Timed(warm_up=run, run=lambda: wall_seconds(run, self.pipeline.device))

    def timed_reference(self, reference: Reference, plan: Plan) -> Timed:
        def run() -> None:
            self.latents[REFERENCE] = reference.sample(plan, self.contexts, seed=_SEED)

        return Timed(warm_up=run, run=lambda: wall_seconds(run, self.pipeline.device))


def time_checkpoint(case: Setting, job: Job, checkpoint: Checkpoint, *, repeats: int) -> dict[str, Any]:
    """All variants in one process, every model resident; text encoding and decoding are not in the time."""
    pipeline = Session(job, checkpoint=checkpoint).pipeline
    bench = _Bench(
        pipeline=pipeline,
        contexts=pipeline.encode(case.config.example_prompt),
        reference=_reference(case, checkpoint, dtype=pipeline.dtype, device=pipeline.device),
    )
    plans = case.plans()
    variants = {name: bench.timed(name, variant) for name, variant in case.variants.items()}
    if bench.reference:
        variants[REFERENCE] = bench.timed_reference(bench.reference, plans[PLAIN])
    timings = time_in_turns(variants, repeats=repeats, device=pipeline.device)
    plain_flops = case.flops(plans[PLAIN])
    return {
        "dtype": str(pipeline.dtype).removeprefix("torch."),
        "device": str(pipeline.device),
        "notes": _notes(bench),
        "variants": {
            name: row(
                timing,
                timings[PLAIN],
                forwards=plans.get(name, plans[PLAIN]).forwards,
                steps=len(plans.get(name, plans[PLAIN]).steps),
                flops=case.flops(plans.get(name, plans[PLAIN])),
                plain_flops=plain_flops,
            )
            for name, timing in timings.items()
        },
        "largest_difference_from_diffusers": _difference(bench.latents, REFERENCE),
        "largest_difference_from_plain": {
            name: _difference(bench.latents, name)
            for name, variant in case.variants.items()
            if name != PLAIN and variant.plan == plans[PLAIN]
        },
    }


def _reference(case: Setting, checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> Reference | None:
    if case.config.image != "none" or checkpoint.layout.name != _REFERENCE_LAYOUT:
        return None
    return Reference(checkpoint.path, case.settings, dtype=dtype, device=device)


def _notes(bench: _Bench) -> list[str]:
    notes = ["Wall time of the sampling call, text encoding and decoding left out"]
    if bench.reference is None:
        notes.append(f"{REFERENCE} is not timed: it needs a text-to-video checkpoint in the diffusers layout")
    else:
        notes.append("Peak memory holds the models of both, ours and diffusers'")
    return notes


def _difference(latents: dict[str, Tensor], name: str) -> float | None:
    if name not in latents:
        return None
    return (latents[PLAIN] - latents[name]).abs().max().item()
