"""What is timed: plans of one task in one shape, each under an engine, with what the price model expects of each."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.job import Job, prepare
from wan.machine import Machine
from wan.models.denoiser import batched, one_by_one
from wan.models.engine import EXACT, Engine
from wan.models.fixed_inputs import inputs_kept, nothing_kept
from wan.request import parse_request
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, price
from wan.settings import SamplingSettings

PLAIN, COMPILED = "plain", "compiled"
_TRUNCATED = {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3}
_HALVED = {"frame_completion": "improved"}
_TWO_EXPERTS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "CFG truncation 5 + 3": _TRUNCATED,
    "half-frame": _HALVED,
    "half-frame + CFG truncation 5 + 3": _HALVED | _TRUNCATED,
}
# frames are completed at the expert switch: a single expert has none, and no high-noise steps to truncate
_ONE_EXPERT: Mapping[str, Mapping[str, Any]] = {PLAIN: {}, "CFG truncation 5": {"cfg_truncate_steps": 5}}
_ENGINES: Mapping[str, Engine] = {
    PLAIN: EXACT,
    "without kept keys": Engine(keep=inputs_kept),
    "nothing kept": Engine(keep=nothing_kept),
    "batched CFG": Engine(evaluate=batched),
    COMPILED: Engine(compile=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A plan, and how its forwards are computed."""

    plan: Plan
    engine: Engine = EXACT


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One task in one shape with one number of steps; ``size`` is the denoiser's, for the price. PLAIN is a variant."""

    config: TaskConfig
    settings: SamplingSettings
    geometry: Geometry
    size: DenoiserSize
    variants: Mapping[str, Variant]

    def plans(self) -> dict[str, Plan]:
        """The plan of every variant."""
        return {name: variant.plan for name, variant in self.variants.items()}

    def flops(self, plan: Plan) -> float:
        """What the price model expects a plan to compute."""
        return price(plan, self.size).planned.flops


def shortcut_variants(settings: SamplingSettings, geometry: Geometry) -> dict[str, Variant]:
    """The plain plan and every shortcut that the task and the shape allow."""
    shortcuts = _ONE_EXPERT if settings.boundary is None else _TWO_EXPERTS
    return {
        name: Variant(plan=make_plan(replace(settings, **changes), geometry))
        for name, changes in shortcuts.items()
        if geometry.latent_frames > 1 or "frame_completion" not in changes
    }


def engine_variants(plan: Plan, *, can_compile: bool) -> dict[str, Variant]:
    """The same plan under every engine."""
    return {
        name: Variant(plan=plan, engine=engine)
        for name, engine in _ENGINES.items()
        if can_compile or not engine.compile
    }


def asked_variants(job: Job, asked: Sequence[str]) -> dict[str, Variant]:
    """The plain plan, and the job with the flags of each of ``asked`` ("--sample_steps 10") added to its own.

    ``InvalidInput`` for flags that make another video of it than a faster one.
    """
    variants = {PLAIN: Variant(plan=job.plan)}
    for text in asked:
        varied = _varied(job, text)
        machine = varied.request.machine
        variants[text] = Variant(
            plan=varied.plan,
            engine=Engine(evaluate=batched if machine.batch_cfg else one_by_one, compile=machine.compile),
        )
    return variants


def _varied(job: Job, text: str) -> Job:
    try:
        flags = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"--variant {text!r} is not flags of a command ({error}); close its quotes") from error
    request = parse_request([*job.request.argv(), *flags])
    machine = replace(request.machine, batch_cfg=False, compile=False)
    kept = ("task", "ckpt_dir", "size", "frame_num")
    other = [name for name in kept if getattr(request, name) != getattr(job.request, name)]
    other += [name for name in Machine.__dataclass_fields__ if getattr(machine, name) != _own(job, name)]
    if other:
        raise InvalidInput(
            f"--variant {text!r} changes {other[0]}, which all variants share; give --{other[0]} to the command itself"
        )
    return prepare(request, picture=job.picture, needs_image=False)


def _own(job: Job, name: str) -> Any:
    return getattr(job.request.machine, name)
