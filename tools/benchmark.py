"""Time the sampling loop: every shortcut against the plain plan, and ours against diffusers' WanPipeline.

    python tools/benchmark.py                                                    the demo model
    python tools/benchmark.py --task t2v-A14B --ckpt_dir DIR                     a checkpoint
    python tools/benchmark.py --random_weights --task t2v-A14B --size 832*480    real sizes without a checkpoint
    python tools/benchmark.py --random_weights --task ti2v-5B --steps_per_stage 3

All variants run in one process, on one machine, in turns (A B C A B C ...), after a warm-up of each; the figure of a
variant is the median of its runs, and only ratios are worth quoting elsewhere. "estimated" is what the price model of
`generate.py --dry_run` expects. Exit codes: 0; 2 for what cannot be timed (one sentence); 1 for other failures.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wan.configs import WAN_CONFIGS, TaskConfig, parse_size
from wan.errors import InvalidInput, WanError
from wan.instruments.bench.checkpoint_bench import time_checkpoint
from wan.instruments.bench.random_bench import time_step_kinds, time_whole_runs
from wan.instruments.bench.random_model import STORES, RandomModel
from wan.instruments.bench.tables import format_result
from wan.instruments.bench.variants import Case
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.machine import ATTENTIONS
from wan.models.devices import DTYPES, pick_device
from wan.options import Parser
from wan.runs import environment_versions, write_json_atomic
from wan.runs.results import refuse_existing
from wan.sampling.geometry import Geometry, geometry_for
from wan.sampling.price import DenoiserSize
from wan.settings import SamplingSettings, default_settings

_RANDOM_ONLY = ("layers", "steps_per_stage", "offload")


def main(argv: Sequence[str]) -> int:
    """Exit codes: see above."""
    try:
        args = build_parser().parse_args(argv)
        refuse_existing(args.output, flag="--output")
        _refuse_bad_values(args)
        if args.threads:
            torch.set_num_threads(args.threads)
        result = time_random_weights(args) if args.random_weights else time_weights(args)
        print(format_result(result))
        if args.output:
            write_json_atomic(args.output, result)
    except InvalidInput as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"benchmark.py: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmark.py: interrupted; nothing was written", file=sys.stderr)
        return 1
    return 0


def build_parser() -> Parser:
    parser = Parser(
        prog="tools/benchmark.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--task", default="t2v-demo", choices=sorted(WAN_CONFIGS), help="(%(default)s)")
    parser.add_argument("--ckpt_dir", help="checkpoint folder of either layout; t2v-demo brings its own")
    parser.add_argument("--size", help="W*H in pixels; default: the task's")
    parser.add_argument("--frame_num", type=int, help="default: the task's")
    parser.add_argument("--sample_steps", type=int, help="default: the task's")
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of each variant (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", help="auto, cpu, cuda, ...")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="default: the task's")
    parser.add_argument("--attention", choices=ATTENTIONS, default="auto", help="attention kernels (%(default)s)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    group = parser.add_argument_group("random weights")
    group.add_argument("--random_weights", action="store_true", help="the task's real sizes, without a checkpoint")
    group.add_argument("--layers", type=int, help="layers of each expert; default: the task's")
    group.add_argument("--steps_per_stage", type=int, help="time this many steps of every kind and extrapolate")
    group.add_argument("--offload", choices=sorted(STORES), help="none: both experts on the device; expert: one (none)")
    return parser


def time_weights(args: argparse.Namespace) -> dict[str, Any]:
    """The timings of a checkpoint, JSON-ready."""
    config, geometry, settings = _request(args)
    checkpoint = open_checkpoint(config, find_checkpoint_dir(config, args.ckpt_dir))
    case = Case(config=config, settings=settings, geometry=geometry, size=checkpoint.denoiser_size)
    found = time_checkpoint(
        case, checkpoint, repeats=args.repeats, device=args.device, dtype=args.dtype, attention=args.attention
    )
    return _heading(case, args) | found | {"versions": environment_versions(found["device"])}


def time_random_weights(args: argparse.Namespace) -> dict[str, Any]:
    """The timings of a task's sizes, JSON-ready."""
    config, geometry, settings = _request(args)
    config = replace(config, num_layers=args.layers or config.num_layers)
    case = Case(config=config, settings=settings, geometry=geometry, size=_size(config))
    case.plans()  # what cannot be planned is refused before weights are made
    device, dtype = pick_device(args.device), args.dtype or config.param_dtype
    model = RandomModel(
        config,
        geometry,
        device=device,
        dtype=DTYPES[dtype],
        attention=args.attention,
        offload=args.offload or "none",
    )
    if args.steps_per_stage:
        found = time_step_kinds(case, model, count=args.steps_per_stage, repeats=args.repeats)
    else:
        found = time_whole_runs(case, model, repeats=args.repeats)
    if args.layers:
        found["notes"].append(f"{args.layers} layers of the task's {WAN_CONFIGS[config.name].num_layers}")
    machine = {"versions": environment_versions(str(device)), "device": str(device), "dtype": dtype}
    return _heading(case, args) | found | machine | {"layers": config.num_layers, "offload": args.offload or "none"}


def _request(args: argparse.Namespace) -> tuple[TaskConfig, Geometry, SamplingSettings]:
    config = WAN_CONFIGS[args.task]
    try:
        size = parse_size(args.size or config.default_size)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    frame_num = config.frame_num if args.frame_num is None else args.frame_num
    settings = default_settings(config)
    if args.sample_steps is not None:
        settings = replace(settings, steps=args.sample_steps)
    return config, geometry_for(config, size=size, frame_num=frame_num), settings


def _heading(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "task": case.config.name,
        "size": [case.geometry.width, case.geometry.height],
        "frame_num": case.geometry.pixel_frames,
        "steps": case.settings.steps,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "attention": args.attention,
    }


def _size(config: TaskConfig) -> DenoiserSize:
    return DenoiserSize(dim=config.dim, ffn_dim=config.ffn_dim, num_layers=config.num_layers, text_len=config.text_len)


def _refuse_bad_values(args: argparse.Namespace) -> None:
    for name in ("repeats", "threads", "layers", "steps_per_stage"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise InvalidInput(f"--{name} {value} must be at least 1")
    asked = [f"--{name}" for name in _RANDOM_ONLY if getattr(args, name) is not None]
    if asked and not args.random_weights:
        raise InvalidInput(f"{asked[0]} is for --random_weights; add that, or leave it out")
    if args.random_weights and args.ckpt_dir:
        raise InvalidInput(f"--ckpt_dir {args.ckpt_dir} and --random_weights exclude each other; give one of them")
    config = WAN_CONFIGS[args.task]
    if args.random_weights and config.has_image_encoder:
        raise InvalidInput(f"--random_weights makes no CLIP features, which --task {args.task} needs; use i2v-A14B")
    if not args.random_weights and config.entry == "WanI2V":
        raise InvalidInput(f"--task {args.task} needs an image, and this tool has none; add --random_weights")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
