"""Measures the demo model: obedience on held-out prompts, effect of guidance, VAE reconstruction, and the detector.

    python tools/evaluate_demo_model.py --ckpt_dir checkpoints/t2v-demo --output_dir training_runs/demo/evaluation

Writes evaluation.json and contact_sheet.png there and prints the figures beside their targets.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan

from door import run_tool, tool_parser
from claims.sample import demo_job
from demo_model.contact_sheet import draw_contact_sheet
from demo_model.scores import (
    HeldOut,
    by_word,
    empty_prompt,
    plausible_share,
    psnr_report,
    reconstruct,
    sample_held_out,
    share_right,
    truth_clips,
)
from wan.demo_world.clips import FPS
from wan.demo_world.detector import read_clip
from wan.errors import InvalidInput
from wan.flags import Parser
from wan.job import Job, vary
from wan.limits import seed
from wan.session import Session

NAME = "evaluate_demo_model.py"
TARGETS = {"colour": 0.95, "background": 0.95, "motion": 0.90, "shape": 0.85, "all_four": 0.75}
SHEET_CLIPS = 24


def main(arguments: Sequence[str]) -> None:
    """Measures everything that was asked for and writes the report."""
    given = _parser().parse_args(arguments)
    if given.prompts < 1 or given.steps < 1:
        raise InvalidInput("--prompts and --steps must be at least 1")
    torch.set_num_threads(given.threads)
    job = vary(demo_job(given.ckpt_dir), sample_steps=given.steps)
    session = Session(job, show_progress=False)
    started = time.monotonic()
    sampled = sample_held_out(session, job.plan, count=given.prompts, first_seed=given.first_seed)
    report: dict[str, Any] = {
        "prompts": given.prompts,
        "steps": given.steps,
        "first_seed": given.first_seed,
        "guided": sampled.obedience(),
        "guided_by_word": by_word(sampled),
        "seconds_sampling": time.monotonic() - started,
    }
    unguided, empty = None, None
    if not given.quick:
        unguided, empty = _without_guidance(session, job, given)
        report["guidance_1"] = unguided.obedience()
        report["empty_prompt_plausible"] = plausible_share(empty)
        report |= _ground_truth(session.checkpoint.path, count=given.truth_clips)
    _write(report, sampled, empty, given.output_dir)


def _without_guidance(session: Session, job: Job, given: argparse.Namespace) -> tuple[HeldOut, HeldOut]:
    """The same prompts and seeds at guidance 1, and the empty prompt."""
    plan = vary(job, sample_guide_scale=(1.0,)).plan
    unguided = sample_held_out(session, plan, count=given.prompts, first_seed=given.first_seed)
    return unguided, empty_prompt(session, plan, count=16, first_seed=given.first_seed)


def _ground_truth(checkpoint: Path, *, count: int) -> dict[str, Any]:
    """The detector on rendered clips and on their reconstructions, and the reconstructions' PSNR."""
    videos, truth = truth_clips(count=count, seed=7)
    decoded = reconstruct(AutoencoderKLWan.from_pretrained(checkpoint, subfolder="vae"), videos)
    return {
        "truth_clips": count,
        "detector_on_truth": share_right(tuple(read_clip(video) for video in videos), truth),
        "detector_on_reconstructions": share_right(tuple(read_clip(video) for video in decoded), truth),
        "vae_psnr": psnr_report(decoded, videos, fps=FPS),
    }


def _write(report: dict[str, Any], sampled: HeldOut, empty: HeldOut | None, output_dir: Path) -> None:
    """evaluation.json, the contact sheet (first prompts, then empty ones) and the figures on the console."""
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")
    shown = SHEET_CLIPS if empty is None else SHEET_CLIPS - 4
    videos = [sampled.videos[:shown]] + ([] if empty is None else [empty.videos[:4]])
    titles = [one.caption() for one in sampled.asked[:shown]] + [""] * 4
    readings = [*sampled.readings[:shown], *(() if empty is None else empty.readings[:4])]
    draw_contact_sheet(torch.cat(videos), titles[: len(readings)], readings, output_dir / "contact_sheet.png")
    for name, target in TARGETS.items():
        value = report["guided"][name]
        print(f"{name:12} {value:.3f}   target {target:.2f}   {'reached' if value >= target else 'missed'}")
    rest = {name: value for name, value in report.items() if name not in ("guided",)}
    print(json.dumps(rest, indent=1))


def _parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--ckpt_dir", type=Path, help="default: the model that ships with the project")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the report and the sheet go")
    parser.add_argument("--prompts", type=int, default=96, help="held-out prompts, one seed each (default %(default)s)")
    parser.add_argument("--first_seed", type=seed, default=1000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--truth_clips", type=int, default=128, help="rendered clips for detector and VAE")
    parser.add_argument("--quick", action="store_true", help="obedience only")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
