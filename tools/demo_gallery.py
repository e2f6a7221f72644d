"""Draw what the shortcuts make of the demo model's prompts: a column per motion, a row per setting, the same noise.

    python tools/demo_gallery.py                          writes gallery/demo-gallery.webp, an animated picture

The prompts are the first held-out ones of every motion with one seed; none is picked by its result.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from door import run_tool, tool_parser
from claims.sample import demo_job
from wan.demo_world.words import MOTIONS, held_out_by_motion
from wan.flags import Groups, Parser
from wan.instruments.flags import add_output_flags
from wan.job import Job, vary
from wan.limits import seed
from wan.runs import atomic_path
from wan.runs.folders import claim_directory
from wan.runs.video import to_uint8
from wan.sampling.plan import Plan
from wan.sampling.price import DenoiserSize, price
from wan.session import Session
from wan.shortcuts import BEST_HALF_FRAME, Shortcuts

NAME = "demo_gallery.py"
PICTURE = "demo-gallery.webp"
CELL, GAP, LABEL_WIDTH, LABEL_HEIGHT, FONT_SIZE = 96, 4, 128, 50, 13
QUALITY = 80


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    job = demo_job(args.ckpt_dir)
    session = Session(job, show_progress=False)
    directory = claim_directory(args.output_dir, flag="--output_dir", overwrite=args.overwrite)
    prompts = held_out_by_motion(1)
    rows = {_label(name, plan, session.checkpoint.denoiser_size): plan for name, plan in plans(job).items()}
    videos: dict[str, list[np.ndarray]] = {label: [] for label in rows}
    for combination in tqdm(prompts, desc="gallery", unit="prompt", disable=args.quiet):
        for label, plan in rows.items():
            sampled = session.sample(plan, prompt=combination.caption(), seed=args.seed)
            videos[label].append(to_uint8(session.pipeline.decode(sampled.latents)))
    pictures = compose(videos, [f"{c.colour} {c.shape}\n{MOTIONS[c.motion]}\non {c.background}" for c in prompts])
    duration = 1000 / job.config.sample_fps
    with atomic_path(directory / PICTURE) as temporary:
        pictures[0].save(
            temporary, save_all=True, append_images=pictures[1:], duration=duration, loop=0, quality=QUALITY, method=6
        )
    print(f"{len(pictures)} frames: {directory / PICTURE}")


def plans(job: Job) -> dict[str, Plan]:
    """Each setting's plan under its name, the plain one first."""
    truncation: Mapping[str, Any] = {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3}
    wanted = {
        "full sampling": Shortcuts(),
        "CFG truncation 5+3": Shortcuts(**truncation),
        "half-frame": Shortcuts(frame_completion="repeat"),
        "half-frame, spread": BEST_HALF_FRAME,
        "spread + CFG 5+3": replace(BEST_HALF_FRAME, **truncation),
    }
    return {name: vary(job, shortcuts=shortcuts).plan for name, shortcuts in wanted.items()}


def compose(videos: dict[str, list[np.ndarray]], columns: Sequence[str]) -> list[Image.Image]:
    """One picture per video frame: ``videos`` (row label -> one (N, H, W, 3) uint8 video per column) in a grid."""
    width = LABEL_WIDTH + len(columns) * (CELL + GAP)
    page = Image.new("RGB", (width, LABEL_HEIGHT + len(videos) * (CELL + GAP)), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(FONT_SIZE)
    for column, text in enumerate(columns):
        draw.multiline_text((_left(column), 2), text, fill="black", font=font, spacing=2)
    for row, text in enumerate(videos):
        draw.multiline_text((4, _top(row) + CELL // 3), text, fill="black", font=font, spacing=2)
    pictures = []
    for number in range(len(next(iter(videos.values()))[0])):
        picture = page.copy()
        for row, clips in enumerate(videos.values()):
            for column, clip in enumerate(clips):
                cell = Image.fromarray(clip[number]).resize((CELL, CELL), Image.Resampling.LANCZOS)
                picture.paste(cell, (_left(column), _top(row)))
        pictures.append(picture)
    return pictures


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--ckpt_dir", type=Path, help="another t2v-demo checkpoint")
    parser.add_argument("--seed", type=seed, default=0, help="of every video (%(default)s)")
    add_output_flags(Groups(parser), output_dir="gallery")
    return parser


def _label(name: str, plan: Plan, size: DenoiserSize) -> str:
    return f"{name}\n{plan.forwards} forwards\n{price(plan, size).fractions()['flops']:.0%} of the FLOPs"


def _left(column: int) -> int:
    return LABEL_WIDTH + column * (CELL + GAP)


def _top(row: int) -> int:
    return LABEL_HEIGHT + row * (CELL + GAP)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
