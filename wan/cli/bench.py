"""``wan bench``: time the sampling loop, every shortcut against the plain plan, and ours against diffusers."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan.commands import command_line, program
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, add_flags, make_parser, values_of
from wan.instruments.flags import DEMO_TASK
from wan.job import Job, open_job_checkpoint, prepare
from wan.limits import MAX_COUNT, MAX_THREADS, check_count
from wan.machine import Machine
from wan.memory import refuse_too_little_memory
from wan.request import Request
from wan.runs import environment_versions, write_json_atomic
from wan.runs.folders import refuse_existing
from wan.runs.writable import refuse_unwritable_file
from wan.sampling.price import DenoiserSize, published_size

if TYPE_CHECKING:  # these import torch, which takes seconds that --help need not wait for
    from wan.instruments.bench.variants import Setting

_RANDOM_ONLY = ("layers", "steps_per_stage", "offload")
_REQUEST = ("task", "ckpt_dir", "size", "frame_num", "sample_steps")
_MACHINE = ("device", "dtype", "attention", "ignore_memory_check")
DESCRIPTION = f"""\
Time the sampling loop: every shortcut against the plain plan, and ours against diffusers' WanPipeline.

    {command_line("bench")}                                                    the demo model
    {command_line("bench")} --task t2v-A14B --ckpt_dir DIR                     a checkpoint
    {command_line("bench")} --random_weights --task t2v-A14B --size 832x480    real sizes without a checkpoint
    {command_line("bench")} --random_weights --task ti2v-5B --steps_per_stage 3
    {command_line("bench")} --engine                                           the plain plan, computed in other ways
    {command_line("bench")} --variant="--sample_steps 10" --variant=--compile

All variants run in one process, on one machine, in turns (A B C A B C ...), after a warm-up of each; the figure of a
variant is the median of its runs, and "measured / plain" the median of the ratios within a turn, the one to
quote. "estimated" is what the price model of --dry_run expects. Exit codes: 0; 2 for what cannot be timed (one
sentence); 1 for other failures.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    refuse_existing(args.output, flag="--output")
    if args.output:
        refuse_unwritable_file(args.output, flag="--output")
    _refuse_bad_values(args)
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    machine = Machine(**values_of(Machine, args) | {"offload": "none"})
    request = Request(**values_of(Request, args), machine=machine)
    job = prepare(request, default_task=DEMO_TASK, needs_image=False)
    _refuse_task(job, random_weights=args.random_weights)
    if request.task is None and request.ckpt_dir is not None:
        print(job.notices[0])  # which task the folder serves
    result = time_random_weights(job, args) if args.random_weights else time_weights(job, args)
    from wan.instruments.bench.tables import format_result

    print(format_result(result))
    if args.output:
        write_json_atomic(args.output, result)


def build_parser() -> Parser:
    parser = make_parser("bench", DESCRIPTION)
    groups = Groups(parser)
    add_flags(groups, Request, leave_out=[name for name in Request.__dataclass_fields__ if name not in _REQUEST])
    add_flags(groups, Machine, leave_out=[name for name in Machine.__dataclass_fields__ if name not in _MACHINE])
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of each variant (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    which = groups["what is timed beside the plain plan (by default every shortcut)"]
    which.add_argument(
        "--variant",
        action="append",
        dest="variants",
        metavar="FLAGS",
        help=f"the run with these flags of {program('generate')} added, as in --variant='--sample_steps 10'; several "
        "times for several variants",
    )
    which.add_argument(
        "--engine",
        action="store_true",
        help="the same plan with nothing kept from step to step, with batched guidance, and compiled",
    )
    group = groups["random weights"]
    group.add_argument("--random_weights", action="store_true", help="the task's real sizes, without a checkpoint")
    group.add_argument("--layers", type=int, help="layers of each expert; default: the task's")
    group.add_argument("--steps_per_stage", type=int, help="time this many steps of every kind and extrapolate")
    group.add_argument(
        "--offload", choices=("expert", "none"), help="none: both experts on the device; expert: one (none)"
    )
    return parser


def time_weights(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """The timings of a checkpoint, JSON-ready."""
    from wan.instruments.bench.checkpoint_bench import time_checkpoint

    checkpoint = open_job_checkpoint(job)
    case, notes = _case(job, checkpoint.denoiser_size, args)
    found = time_checkpoint(case, job, checkpoint, repeats=args.repeats)
    found["notes"] += notes
    return _heading(case, args) | found | {"versions": environment_versions(found["device"])}


def time_random_weights(job: Job, args: argparse.Namespace) -> dict[str, Any]:
    """The timings of a task's sizes, JSON-ready."""
    from wan.instruments.bench.random_bench import time_step_kinds, time_whole_runs
    from wan.instruments.bench.random_model import RandomModel
    from wan.models.devices import DTYPES, pick_device

    config = replace(job.config, num_layers=args.layers or job.config.num_layers)
    # what cannot be planned is refused before weights are made
    case, notes = _case(replace(job, config=config), published_size(config), args)
    device, dtype = pick_device(args.device), args.dtype or config.param_dtype
    machine = replace(job.request.machine, offload=args.offload or "none")
    refuse_too_little_memory(config, published_size(config), job.geometry, machine=machine)
    model = RandomModel(
        config,
        job.geometry,
        device=device,
        dtype=DTYPES[dtype],
        attention=args.attention,
        offload=args.offload or "none",
    )
    if args.steps_per_stage:
        found = time_step_kinds(case, model, count=args.steps_per_stage, repeats=args.repeats)
    else:
        found = time_whole_runs(case, model, repeats=args.repeats)
    found["notes"] += notes
    if args.layers:
        found["notes"].append(f"{args.layers} layers of the task's {WAN_CONFIGS[config.name].num_layers}")
    made_on = {"versions": environment_versions(str(device)), "device": str(device), "dtype": dtype}
    return _heading(case, args) | found | made_on | {"layers": config.num_layers, "offload": args.offload or "none"}


def _case(job: Job, size: DenoiserSize, args: argparse.Namespace) -> tuple["Setting", list[str]]:
    """What is timed, and what to say of it."""
    from wan.instruments.bench.variants import Setting, asked_variants, engine_variants, shortcut_variants
    from wan.models.devices import pick_device
    from wan.models.engine import why_not_compile

    why_not = None
    if args.engine:
        why_not = why_not_compile(pick_device(args.device))
        variants = engine_variants(job.plan, can_compile=why_not is None)
    elif args.variants:
        variants = asked_variants(job, args.variants)
        for variant in variants.values():
            variant.engine.check(pick_device(args.device), offload=args.offload)
    else:
        variants = shortcut_variants(job.settings, job.geometry)
    case = Setting(config=job.config, settings=job.settings, geometry=job.geometry, size=size, variants=variants)
    cached = [name for name, variant in variants.items() if variant.plan.cache is not None]
    if args.steps_per_stage and cached:
        raise InvalidInput(
            f"--steps_per_stage times steps by themselves, and the plan of {cached[0]!r} has a cache, whose steps need "
            "those before them; leave --steps_per_stage out"
        )
    notes = [f"Nothing is compiled: {why_not}"] if why_not else []
    return case, notes + [f"{name}: {said}" for name, one in variants.items() for said in one.plan.notices]


def _heading(case: "Setting", args: argparse.Namespace) -> dict[str, Any]:
    import torch

    return {
        "task": case.config.name,
        "size": [case.geometry.width, case.geometry.height],
        "frame_num": case.geometry.pixel_frames,
        "steps": case.settings.steps,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "attention": args.attention,
    }


def _refuse_bad_values(args: argparse.Namespace) -> None:
    for name in ("repeats", "threads", "layers", "steps_per_stage"):
        if (value := getattr(args, name)) is not None:
            check_count(f"--{name}", value, most=MAX_THREADS if name == "threads" else MAX_COUNT)
    if args.engine and args.variants:
        raise InvalidInput("--engine names its variants itself; leave --variant out, or --engine")
    asked = [f"--{name}" for name in _RANDOM_ONLY if getattr(args, name) is not None]
    if asked and not args.random_weights:
        raise InvalidInput(f"{asked[0]} is for --random_weights; add that, or leave it out")
    if args.random_weights and args.ckpt_dir:
        raise InvalidInput(f"--ckpt_dir {args.ckpt_dir} and --random_weights exclude each other; give one of them")


def _refuse_task(job: Job, *, random_weights: bool) -> None:
    if random_weights and job.config.has_image_encoder:
        raise InvalidInput(
            f"--random_weights makes no CLIP features, which --task {job.config.name} needs; use i2v-A14B"
        )
    if not random_weights and job.config.image == "needed":
        raise InvalidInput(f"--task {job.config.name} needs an image, and this command has none; add --random_weights")
