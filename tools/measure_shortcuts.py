"""Measure what shortcuts cost in quality: every variant against the same-seed baseline, over many prompts and seeds.

    python tools/measure_shortcuts.py --suite cfg --update_docs            the tables of docs/cfg-truncation.md
    python tools/measure_shortcuts.py --suite half_frame --update_docs     the tables of docs/half-frame.md

Prompts are the demo model's held-out combinations, the same number for each motion. Videos are compared as decoded
floats, before any coding. The floor is another seed of the same prompt: a variant that scores no better has nothing
in common with its baseline.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from claims.demo_session import open_demo_session
from claims.documents import update_document
from claims.shortcut_tables import SPAN_END, format_result
from demo_model.detector import read_clip
from demo_model.words import Combination, held_out_by_motion
from wan.analysis.frames import kept_pixel_frames
from wan.analysis.metrics import motion_ratio, psnr, ssim_per_frame
from wan.configs import PROJECT_DIR, WAN_CONFIGS, parse_size
from wan.errors import InvalidInput, WanError
from wan.loading.layouts import Checkpoint, find_checkpoint_dir, open_checkpoint
from wan.options import Parser
from wan.runs import checkpoint_identity, environment_versions, write_json_atomic
from wan.runs.results import refuse_existing
from wan.sampling.geometry import Geometry, geometry_for
from wan.sampling.guidance import TRUNCATION_MODES, Branch, ReusedDelta
from wan.sampling.plan import Plan
from wan.sampling.policies import FRAME_COMPLETIONS, HALF_FRAME_STRIDES, make_plan
from wan.sampling.price import price
from wan.session import Session
from wan.settings import SamplingSettings, default_settings

CONFIG = WAN_CONFIGS["t2v-demo"]
FLOOR_SEED_SHIFT = 1000
MIN_CLIPS = 32
DOCUMENTS = {
    "cfg": PROJECT_DIR / "docs" / "cfg-truncation.md",
    "half_frame": PROJECT_DIR / "docs" / "half-frame.md",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One way to make the video that the baseline makes."""

    name: str
    plan: Plan
    seed_shift: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One prompt and seed, with the baseline's decoded video (N, H, W, 3) in [0, 1]."""

    combination: Combination
    seed: int
    baseline: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One variant on one clip."""

    motion: str
    psnr: float
    ssim: float
    psnr_kept: float
    psnr_filled: float
    motion_ratio: float
    obeys_motion: bool
    obeys_all: bool


def main(argv: Sequence[str]) -> int:
    try:
        args = build_parser().parse_args(argv)
        _refuse_bad_values(args)
        if args.threads:
            torch.set_num_threads(args.threads)
        result = measure(args)
        text = format_result(result)
        if args.output:
            write_json_atomic(args.output, result)
        print(text)
        if args.update_docs:
            update_document(DOCUMENTS[args.suite], text)
            print(f"updated {DOCUMENTS[args.suite]}")
    except InvalidInput as error:
        print(f"measure_shortcuts.py: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"measure_shortcuts.py: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("measure_shortcuts.py: interrupted; nothing was written", file=sys.stderr)
        return 1
    return 0


def build_parser() -> Parser:
    parser = Parser(
        prog="tools/measure_shortcuts.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--suite", choices=tuple(SUITES), default="cfg", help="which variants (%(default)s)")
    parser.add_argument("--per_motion", type=int, default=4, help="prompts for each of the 9 motions (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of every prompt (%(default)s)")
    parser.add_argument("--ckpt_dir", help="another t2v-demo checkpoint")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--update_docs", action="store_true", help="rewrite the tables of the suite's page in docs/")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    return parser


def _refuse_bad_values(args: argparse.Namespace) -> None:
    refuse_existing(args.output, flag="--output")
    for name in ("per_motion", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InvalidInput(f"--{name} {value} must be at least 1")
    clips = len(held_out_by_motion(args.per_motion)) * len(args.seeds)
    if args.update_docs and clips < MIN_CLIPS:
        raise InvalidInput(f"--update_docs with {clips} clips: a table needs at least {MIN_CLIPS} prompts x seeds")


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All scores of one suite as JSON-ready data."""
    settings = default_settings(CONFIG)
    geometry = geometry_for(CONFIG, size=parse_size(CONFIG.default_size), frame_num=CONFIG.frame_num)
    baseline = make_plan(settings, geometry)
    variants = SUITES[args.suite](settings, geometry)
    checkpoint = open_checkpoint(CONFIG, find_checkpoint_dir(CONFIG, args.ckpt_dir))
    session = open_demo_session(args.ckpt_dir)
    prompts = held_out_by_motion(args.per_motion)
    scores: dict[str, list[Score]] = defaultdict(list)
    baseline_reading = []
    for combination in tqdm(prompts, desc=args.suite, unit="prompt"):
        for seed in args.seeds:
            video = _make(session, baseline, combination, seed)
            clip = Clip(combination=combination, seed=seed, baseline=video)
            baseline_reading.append(_agreement(video, combination))
            for variant in variants:
                method = _make(session, variant.plan, combination, seed + variant.seed_shift)
                scores[variant.name].append(score(method, clip))
    return {
        "suite": args.suite,
        "clips": len(baseline_reading),
        "seeds": args.seeds,
        "baseline": {"forwards": baseline.forwards, **_means(baseline_reading)},
        "versions": environment_versions(),
        "checkpoint": checkpoint_identity(checkpoint.path)["id"],
        "variants": {
            variant.name: {
                "forwards": variant.plan.forwards,
                "flops_fraction": _flops(variant.plan, checkpoint) / _flops(baseline, checkpoint),
                **summarise(scores[variant.name]),
            }
            for variant in variants
        },
    }


def cfg_suite(settings: SamplingSettings, geometry: Geometry) -> list[Variant]:
    """Every mode over short and long truncations, the fading exponent, no CFG at all, and the floor."""
    spans = ((5, 3), (2, 3), (5, 0), (0, 3))
    variants = [_floor(settings, geometry)]
    for low, high in spans:
        truncated = replace(settings, cfg_truncate_steps=low, cfg_truncate_high_noise_steps=high)
        for mode in TRUNCATION_MODES:
            plan = make_plan(replace(truncated, cfg_truncate_mode=mode), geometry)
            variants.append(Variant(name=f"CFG {low} + {high}{SPAN_END}{mode}", plan=plan))
        reuse = make_plan(replace(truncated, cfg_truncate_mode="reuse"), geometry)
        variants += [
            Variant(name=f"CFG {low} + {high}{SPAN_END}decay power {power:g}", plan=faded(reuse, power))
            for power in (1.0, 3.0, 4.0)
        ]
    off = replace(settings, low_noise_guidance_scale=1.0, high_noise_guidance_scale=1.0)
    return [*variants, Variant(name="no CFG at all", plan=make_plan(off, geometry)), *_fewer_steps(settings, geometry)]


def half_frame_suite(settings: SamplingSettings, geometry: Geometry) -> list[Variant]:
    """Every completion at either positions, alone and with CFG truncation 5 + 3, and the floor."""
    variants = [_floor(settings, geometry)]
    for completion, positions in product(FRAME_COMPLETIONS, HALF_FRAME_STRIDES):
        half = replace(settings, frame_completion=completion, frame_positions=positions)
        both = replace(half, cfg_truncate_steps=5, cfg_truncate_high_noise_steps=3)
        name = f"half-frame, {completion}, {positions}"
        variants.append(Variant(name=name, plan=make_plan(half, geometry)))
        variants.append(Variant(name=f"{name} + CFG 5 + 3", plan=make_plan(both, geometry)))
    return [*variants, *_fewer_steps(settings, geometry)]


SUITES = {"cfg": cfg_suite, "half_frame": half_frame_suite}


def faded(plan: Plan, power: float) -> Plan:
    """A ``reuse`` plan whose weights fade as (sigma / sigma of the measurement) ** power."""
    steps, measured_sigma = [], 1.0
    for step in plan.steps:
        if isinstance(step.guidance, ReusedDelta):
            weight = step.guidance.weight * (step.sigma / measured_sigma) ** power
            steps.append(replace(step, guidance=ReusedDelta(Branch.COND, weight)))
        else:
            measured_sigma = step.sigma
            steps.append(step)
    return replace(plan, steps=tuple(steps))


def _floor(settings: SamplingSettings, geometry: Geometry) -> Variant:
    return Variant(name="another seed (floor)", plan=make_plan(settings, geometry), seed_shift=FLOOR_SEED_SHIFT)


def _fewer_steps(settings: SamplingSettings, geometry: Geometry) -> list[Variant]:
    """The control: what the same saving costs when it is bought with fewer steps."""
    return [
        Variant(name=f"{steps} steps instead of 20", plan=make_plan(replace(settings, steps=steps), geometry))
        for steps in (16, 14, 12)
    ]


def score(method: np.ndarray, clip: Clip) -> Score:
    """Compare one video (N, H, W, 3) in [0, 1] with its baseline."""
    kept = kept_pixel_frames(len(method))
    agreement = _agreement(method, clip.combination)
    return Score(
        motion=clip.combination.motion,
        psnr=psnr(method, clip.baseline),
        ssim=float(np.mean(ssim_per_frame(method, clip.baseline))),
        psnr_kept=psnr(method[kept], clip.baseline[kept]),
        psnr_filled=psnr(method[~kept], clip.baseline[~kept]),
        motion_ratio=motion_ratio(method, clip.baseline),
        obeys_motion=agreement["motion"],
        obeys_all=agreement["all_four"],
    )


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """Means over the clips, the spread and the worst of PSNR, and PSNR by motion."""
    values = np.array([entry.psnr for entry in scores])
    by_motion = defaultdict(list)
    for entry in scores:
        by_motion[entry.motion].append(entry.psnr)
    return {
        "psnr": float(values.mean()),
        "psnr_std": float(values.std()),
        "psnr_worst": float(values.min()),
        "ssim": float(np.mean([entry.ssim for entry in scores])),
        "psnr_kept": float(np.mean([entry.psnr_kept for entry in scores])),
        "psnr_filled": float(np.mean([entry.psnr_filled for entry in scores])),
        "motion_ratio": float(np.median([entry.motion_ratio for entry in scores])),
        "motion_right": float(np.mean([entry.obeys_motion for entry in scores])),
        "all_right": float(np.mean([entry.obeys_all for entry in scores])),
        "psnr_by_motion": {motion: float(np.mean(found)) for motion, found in by_motion.items()},
    }


def _make(session: Session, plan: Plan, combination: Combination, seed: int) -> np.ndarray:
    return session.decode(session.sample(plan, prompt=combination.caption(), seed=seed).latents)


def _agreement(video: np.ndarray, combination: Combination) -> dict[str, bool]:
    return read_clip(torch.from_numpy(video).permute(3, 0, 1, 2)).agrees(combination)


def _flops(plan: Plan, checkpoint: Checkpoint) -> float:
    return price(plan, checkpoint.denoiser_size).planned.flops


def _means(readings: Sequence[dict[str, bool]]) -> dict[str, float]:
    return {name: float(np.mean([reading[name] for reading in readings])) for name in readings[0]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
