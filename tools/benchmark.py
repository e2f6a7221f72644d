"""Time the sampling loop: ours against diffusers' WanPipeline, and every shortcut against the plain plan.

All variants run in one process, on one machine, in turns (A B C A B C ...), after a warm-up of each; the figure of a
variant is the median of its runs, and only ratios are worth quoting elsewhere.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline
from torch import Tensor
from tqdm import tqdm

from wan import WanT2V
from wan.configs import WAN_CONFIGS, parse_size
from wan.errors import InvalidInput, WanError
from wan.loading.layouts import find_checkpoint_dir
from wan.runs import environment_versions, write_json_atomic
from wan.sampling.geometry import geometry_for
from wan.sampling.guidance import Branch
from wan.sampling.loop import Contexts
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.settings import SamplingSettings, default_settings

SHORTCUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "CFG truncation 5 + 3": {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3},
    "half-frame": {"frame_completion": "improved"},
    "half-frame + CFG truncation 5 + 3": {
        "frame_completion": "improved",
        "cfg_truncate_steps": 5,
        "cfg_truncate_high_noise_steps": 3,
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds of one variant: median, minimum and maximum over the repeats."""

    median: float
    minimum: float
    maximum: float


class OfficialGridUniPC(UniPCMultistepScheduler):
    """diffusers' UniPC made to use the official sigma grid, so that WanPipeline samples what we sample."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None, **_: Any) -> None:
        grid = np.linspace(float(np.float32(0.999)), 0.0, num_inference_steps + 1)[:-1]
        super().set_timesteps(device=device, sigmas=grid)


def main(argv: Sequence[str]) -> int:
    args = build_parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        result = benchmark(args)
    except InvalidInput as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"benchmark.py: failed: {error}", file=sys.stderr)
        return 1
    print(format_result(result))
    if args.output:
        write_json_atomic(Path(args.output), result)
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="t2v-demo", choices=sorted(WAN_CONFIGS), help="(%(default)s)")
    parser.add_argument("--ckpt_dir", help="diffusers-layout checkpoint; t2v-demo brings its own")
    parser.add_argument("--size", help="W*H in pixels; default: the task's")
    parser.add_argument("--frame_num", type=int, help="default: the task's")
    parser.add_argument("--sample_steps", type=int, help="default: the task's")
    parser.add_argument("--repeats", type=int, default=7, help="counted runs of each variant (%(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--device", help="auto, cpu, cuda, ...")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: the task's")
    parser.add_argument("--output", help="also write the figures to this JSON file")
    return parser


def benchmark(args: argparse.Namespace) -> dict[str, Any]:
    """All timings of one call as JSON-ready data."""
    config = WAN_CONFIGS[args.task]
    settings = default_settings(config)
    if args.sample_steps is not None:
        settings = replace(settings, steps=args.sample_steps)
    geometry = geometry_for(
        config, size=parse_size(args.size or config.default_size), frame_num=args.frame_num or config.frame_num
    )
    plans = {name: make_plan(replace(settings, **shortcut), geometry) for name, shortcut in _possible(settings)}
    pipeline = WanT2V(config, args.ckpt_dir, device=args.device, dtype=args.dtype)
    contexts = pipeline.encode(config.example_prompt)
    variants: dict[str, Callable[[], Tensor]] = {
        name: lambda plan=plan: pipeline.sample(plan, contexts, seed=0, offload_model=False)  # type: ignore[misc]
        for name, plan in plans.items()
    }
    if config.entry == "WanT2V":
        reference = load_reference(find_checkpoint_dir(config, args.ckpt_dir), settings, pipeline)
        variants["diffusers WanPipeline"] = lambda: reference_latents(reference, plans["plain"], settings, contexts)
    timings, latents = time_in_turns(variants, repeats=args.repeats, device=pipeline.device)
    return {
        "task": config.name,
        "size": [geometry.width, geometry.height],
        "frame_num": geometry.pixel_frames,
        "steps": settings.steps,
        "threads": torch.get_num_threads(),
        "repeats": args.repeats,
        "versions": environment_versions(str(pipeline.device)),
        "variants": {name: _row(timings[name], timings["plain"], plans.get(name, plans["plain"])) for name in variants},
        "largest_difference_from_diffusers": _difference(latents),
    }


def _possible(settings: SamplingSettings) -> list[tuple[str, dict[str, Any]]]:
    """The shortcuts that the model allows: a single expert has neither half-frame nor high-noise truncation."""
    if settings.boundary is not None:
        return list(SHORTCUTS.items())
    return [("plain", {}), ("CFG truncation 5", {"cfg_truncate_steps": 5})]


def load_reference(checkpoint: Path, settings: SamplingSettings, pipeline: WanT2V) -> WanPipeline:
    """WanPipeline with the same weights, dtype and device, on the official grid."""
    reference = WanPipeline.from_pretrained(checkpoint, torch_dtype=pipeline.dtype).to(pipeline.device)
    reference.scheduler = OfficialGridUniPC(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=settings.shift
    )
    reference.set_progress_bar_config(disable=True)
    return reference


def reference_latents(reference: WanPipeline, plan: Plan, settings: SamplingSettings, contexts: Contexts) -> Tensor:
    """WanPipeline's latents (C, F, h, w) for the same noise, text and guidance."""
    device = contexts[Branch.COND].device
    generator = torch.Generator(device=device).manual_seed(0)
    noise = torch.randn(plan.geometry.latent_shape(), generator=generator, device=device)
    two_experts = settings.boundary is not None
    latents = reference(
        prompt_embeds=contexts[Branch.COND],
        negative_prompt_embeds=contexts[Branch.UNCOND],
        height=plan.geometry.height,
        width=plan.geometry.width,
        num_frames=plan.geometry.pixel_frames,
        num_inference_steps=len(plan.steps),
        guidance_scale=settings.high_noise_guidance_scale,
        guidance_scale_2=settings.low_noise_guidance_scale if two_experts else None,
        latents=noise[None],
        output_type="latent",
        return_dict=False,
    )[0]
    return latents[0]


def time_in_turns(
    variants: dict[str, Callable[[], Tensor]], *, repeats: int, device: torch.device
) -> tuple[dict[str, Timing], dict[str, Tensor]]:
    """Run all variants once uncounted, then ``repeats`` times in turns."""
    latents = {name: variant() for name, variant in variants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in tqdm(range(repeats), desc="timing", unit="turn"):
        for name, variant in variants.items():
            seconds[name].append(_time(variant, device))
    timings = {
        name: Timing(median=statistics.median(values), minimum=min(values), maximum=max(values))
        for name, values in seconds.items()
    }
    return timings, latents


def _time(variant: Callable[[], Tensor], device: torch.device) -> float:
    _synchronise(device)
    start = perf_counter()
    variant()
    _synchronise(device)
    return perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(timing: Timing, plain: Timing, plan: Plan) -> dict[str, Any]:
    return {
        "forwards": plan.forwards,
        "seconds": timing.median,
        "seconds_min": timing.minimum,
        "seconds_max": timing.maximum,
        "seconds_per_step": timing.median / len(plan.steps),
        "ratio_to_plain": timing.median / plain.median,
        "speed_up": plain.median / timing.median,
    }


def _difference(latents: dict[str, Tensor]) -> float | None:
    reference = latents.get("diffusers WanPipeline")
    return None if reference is None else (latents["plain"] - reference).abs().max().item()


def format_result(result: dict[str, Any]) -> str:
    """A Markdown table, ready for docs/benchmarks.md."""
    width, height = result["size"]
    lines = [
        f"{result['task']}, {result['frame_num']} frames of {width}x{height}, {result['steps']} steps, "
        f"{result['threads']} threads, {result['versions']['device']}, median of {result['repeats']}",
        "",
        "| variant | forwards | s | s per step | min - max s | time / plain | speed-up |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['forwards']} | {row['seconds']:.3f} | {row['seconds_per_step']:.4f} "
        f"| {row['seconds_min']:.3f} - {row['seconds_max']:.3f} | {row['ratio_to_plain']:.3f} "
        f"| {row['speed_up']:.2f}x |"
        for name, row in result["variants"].items()
    ]
    difference = result["largest_difference_from_diffusers"]
    if difference is not None:
        lines += ["", f"largest difference of the latents, plain plan against WanPipeline: {difference:.1e}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
