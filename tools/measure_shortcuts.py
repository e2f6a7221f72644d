"""Measure what shortcuts cost in quality: every variant against the same-seed baseline, over many prompts and seeds.

    python tools/measure_shortcuts.py --suite cfg --update_docs            the tables of docs/cfg-truncation.md
    python tools/measure_shortcuts.py --suite half_frame --update_docs     the tables of docs/half-frame.md
    python tools/measure_shortcuts.py --suite readme --update_docs         the first table of the READMEs

Prompts are the demo model's held-out combinations, the same number for each motion. Videos are compared as decoded
floats, before any coding. The floor is another seed of the same prompt: a variant that scores no better has nothing
in common with its baseline.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tqdm import tqdm

from door import run_tool, tool_parser
from claims.documents import update_document
from claims.sample import MIN_CLIPS, PROMPTS_PER_MOTION, SEEDS, Clip, demo_job, sample_clips
from claims.shortcut_tables import README_METHODS, SPAN_END, format_result, readme_table
from wan.analysis.comparison import CaseResult, finite, judge, summarise
from wan.commands import SOURCE_DIR
from wan.demo_world.detector import read_clip
from wan.errors import InvalidInput
from wan.flags import Parser
from wan.instruments.compare import make, observe
from wan.instruments.methods import Method, baseline_of, fewer_steps_of, other_seed_of, steps_of_equal_cost
from wan.job import Job, open_job_checkpoint, vary
from wan.limits import seed
from wan.runs import checkpoint_identity, environment_versions, write_json_atomic
from wan.runs.folders import refuse_existing
from wan.sampling.guidance import TRUNCATION_MODES, Branch, ReusedDelta
from wan.sampling.plan import Plan
from wan.session import Session
from wan.shortcuts import BEST_HALF_FRAME, FRAME_COMPLETIONS, FRAME_POSITIONS, Shortcuts

NAME = "measure_shortcuts.py"
DOCUMENTS = {
    "cfg": [SOURCE_DIR / "docs" / f"cfg-truncation{language}.md" for language in ("", ".zh")],
    "half_frame": [SOURCE_DIR / "docs" / f"half-frame{language}.md" for language in ("", ".zh")],
    "readme": [SOURCE_DIR / f"README{language}.md" for language in ("", ".zh")],
}
FEWER_STEPS = (16, 14, 12)


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    clips = sample_clips(args.per_motion, tuple(args.seeds))
    _refuse_bad_values(args, len(clips))
    if args.threads:
        torch.set_num_threads(args.threads)
    result = measure(demo_job(args.ckpt_dir), args.suite, clips)
    texts = [readme_table(result, language) if args.suite == "readme" else format_result(result) for language in (0, 1)]
    if args.output:
        write_json_atomic(args.output, result)
    print(texts[0])
    if args.update_docs:
        for document, text in zip(DOCUMENTS[args.suite], texts, strict=True):
            update_document(document, text)
            print(f"updated {document}")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--suite", choices=tuple(SUITES), default="cfg", help="which variants (%(default)s)")
    parser.add_argument(
        "--per_motion", type=int, default=PROMPTS_PER_MOTION, help="prompts for each of the 9 motions (%(default)s)"
    )
    parser.add_argument("--seeds", type=seed, nargs="+", default=list(SEEDS), help="of every prompt (%(default)s)")
    parser.add_argument("--ckpt_dir", type=Path, help="another t2v-demo checkpoint")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--update_docs", action="store_true", help="rewrite the tables of the suite's pages in docs/")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    return parser


def _refuse_bad_values(args: argparse.Namespace, clips: int) -> None:
    refuse_existing(args.output, flag="--output")
    for name in ("per_motion", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InvalidInput(f"--{name} {value} must be at least 1")
    if args.update_docs and clips < MIN_CLIPS:
        raise InvalidInput(f"--update_docs with {clips} clips: a table needs at least {MIN_CLIPS} prompts x seeds")


def measure(job: Job, suite: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """All scores of one suite as JSON-ready data."""
    baseline, variants = baseline_of(job), SUITES[suite](job)
    session = Session(job, show_progress=False)
    results: dict[str, list[CaseResult]] = defaultdict(list)
    readings: dict[str, list[dict[str, bool]]] = defaultdict(list)
    for clip in tqdm(clips, desc=suite, unit="clip"):
        reference, reference_cost, _ = make(session, baseline, clip.case)
        readings[baseline.name].append(_agreement(reference, clip))
        for variant in variants:
            video, cost, _ = make(session, variant, clip.case)
            observation = observe(variant, video, reference, cost=cost, baseline_cost=reference_cost)
            results[variant.name].append(judge(observation, prompt=clip.case.prompt, seed=clip.case.seed))
            readings[variant.name].append(_agreement(video, clip))
    motions = [clip.combination.motion for clip in clips]
    return {
        "suite": suite,
        "clips": len(clips),
        "seeds": sorted({clip.case.seed for clip in clips}),
        "baseline": {"forwards": baseline.plan.forwards} | _shares(readings[baseline.name]),
        "versions": environment_versions(),
        "checkpoint": checkpoint_identity(session.checkpoint.path)["id"],
        "variants": {
            variant.name: {"forwards": variant.plan.forwards}
            | scores(results[variant.name], motions)
            | _shares(readings[variant.name])
            for variant in variants
        },
    }


def scores(results: Sequence[CaseResult], motions: Sequence[str]) -> dict[str, Any]:
    """Every measure over the clips, and PSNR by motion."""
    by_motion: dict[str, list[float]] = defaultdict(list)
    for result, motion in zip(results, motions, strict=True):
        by_motion[motion].append(result.measures["psnr"])
    return {
        "measures": {name: finite(asdict(spread)) for name, spread in summarise(results).items()},
        "psnr_by_motion": {motion: fmean(found) for motion, found in by_motion.items()},
    }


def cfg_suite(job: Job) -> list[Method]:
    """Every mode over short and long truncations, the fading exponent, no CFG at all, and the floor."""
    variants = [_floor(job)]
    for low, high in ((5, 3), (2, 3), (5, 0), (0, 3)):
        span = Shortcuts(cfg_truncate_steps=low, cfg_truncate_high_noise_steps=high)
        name = f"CFG {low} + {high}{SPAN_END}"
        variants += [_variant(f"{name}{mode}", job, replace(span, cfg_truncate_mode=mode)) for mode in TRUNCATION_MODES]
        reuse = vary(job, shortcuts=replace(span, cfg_truncate_mode="reuse"))
        for power in (1.0, 3.0, 4.0):
            title = f"{name}decay power {power:g}"
            variants.append(Method(name=title, title=title, job=replace(reuse, plan=faded(reuse.plan, power))))
    title = "no CFG at all"
    off = Method(name=title, title=title, job=vary(job, sample_guide_scale=(1.0,)))
    return [*variants, off, *_fewer_steps(job)]


def half_frame_suite(job: Job) -> list[Method]:
    """Every completion of frames that never ran, at either positions, alone and with CFG truncation 5 + 3, and the
    floor."""
    variants = [_floor(job)]
    for completion, positions in product(FRAME_COMPLETIONS, FRAME_POSITIONS):
        if completion == "follow":
            continue
        half = Shortcuts(frame_completion=completion, frame_positions=positions)
        both = replace(half, cfg_truncate_steps=5, cfg_truncate_high_noise_steps=3)
        name = f"half-frame, {completion}, {positions}"
        variants += [_variant(name, job, half), _variant(f"{name} + CFG 5 + 3", job, both)]
    return [*variants, *_fewer_steps(job)]


def readme_suite(job: Job) -> list[Method]:
    """The recommended setting of each shortcut and of both, each beside the plain steps of the same cost."""
    baseline, size = baseline_of(job), open_job_checkpoint(job).denoiser_size
    truncated = Shortcuts(cfg_truncate_steps=5, cfg_truncate_high_noise_steps=3)
    both = replace(BEST_HALF_FRAME, cfg_truncate_steps=5, cfg_truncate_high_noise_steps=3)
    shortcuts = (truncated, BEST_HALF_FRAME, both)
    methods = [_variant(name, job, one) for name, one in zip(README_METHODS, shortcuts, strict=True)]
    counts = {steps_of_equal_cost(method.plan, baseline, size) for method in methods}
    fewer = [replace(fewer_steps_of(baseline, steps), name=f"{steps} steps") for steps in sorted(counts, reverse=True)]
    return [_floor(job), *methods, *fewer]


SUITES: dict[str, Callable[[Job], list[Method]]] = {
    "cfg": cfg_suite,
    "half_frame": half_frame_suite,
    "readme": readme_suite,
}


def faded(plan: Plan, power: float) -> Plan:
    """A ``reuse`` plan whose weights fade as (sigma / sigma of the measurement) ** power."""
    steps, measured_sigma = [], 1.0
    for step in plan.steps:
        if step.guidance.reuses:
            _, weight = step.guidance.missed(1.0)
            fading = ReusedDelta(Branch.COND, weight * (step.sigma / measured_sigma) ** power)
            steps.append(replace(step, guidance=fading))
        else:
            measured_sigma = step.sigma
            steps.append(step)
    return replace(plan, steps=tuple(steps))


def _variant(name: str, job: Job, shortcuts: Shortcuts) -> Method:
    return Method(name=name, title=name, job=vary(job, shortcuts=shortcuts))


def _floor(job: Job) -> Method:
    return replace(other_seed_of(baseline_of(job)), name="another seed (floor)")


def _fewer_steps(job: Job) -> list[Method]:
    """The control: what the same saving costs when it is bought with fewer steps."""
    baseline = baseline_of(job)
    names = {steps: f"{steps} steps instead of {len(baseline.plan.steps)}" for steps in FEWER_STEPS}
    return [replace(fewer_steps_of(baseline, steps), name=name) for steps, name in names.items()]


def _agreement(video: Any, clip: Clip) -> dict[str, bool]:
    return read_clip(torch.from_numpy(video).permute(3, 0, 1, 2)).agrees(clip.combination)


def _shares(readings: Sequence[dict[str, bool]]) -> dict[str, float]:
    return {
        "motion_right": fmean(reading["motion"] for reading in readings),
        "all_right": fmean(reading["all_four"] for reading in readings),
    }


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
