"""``wan continuity-demo``: temporal continuity on simulated latents, without a model."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from wan.analysis.continuity import SPACES, format_phases, measure_pairs
from wan.analysis.gaussian_video import GaussianVideo
from wan.analysis.plots import require_plotting
from wan.commands import command_line
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, make_parser
from wan.instruments.flags import add_output_flags
from wan.limits import MAX_SHIFT, MAX_STEPS, check_count, check_seed, refuse_infinite
from wan.runs import atomic_path
from wan.runs.folders import claim_directory
from wan.sampling.schedule import SOLVER_NAMES, sigma_grid

FIGURE_NAME, DATA_NAME = "temporal_continuity_demo.png", "temporal_continuity_demo.npz"
HEADINGS = {"normalized_l2": "Normalized L2 Distance", "cosine": "Cosine Similarity"}
MAX_LATENT_FRAMES = 1024
CHANNELS, ROWS, COLUMNS = 16, 8, 8


DESCRIPTION = f"""\
Temporal continuity on simulated latents, without a model.

    {command_line("continuity-demo")} --demo

The demonstration is simulated, and says so: the latents are the exact flow of a Gaussian video model whose neighbouring
frames correlate, on the sigma grid that Wan2.2 samples on. For a real model use `{command_line("continuity")}`.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    from wan.analysis.continuity_plots import plot_demo  # takes seconds that --help need not wait for

    require_plotting()
    _refuse(args)
    directory = claim_directory(args.output_dir, flag="--output_dir", overwrite=args.overwrite)
    print("SIMULATED latents: the exact flow of a Gaussian video, no model was run")
    demo = simulate(args)
    title = f"Temporal continuity, SIMULATED (Gaussian video, frame correlation {args.correlation:g})"
    plot_demo(directory / FIGURE_NAME, demo["sigmas"].tolist(), _curves(demo), title=title)
    with atomic_path(directory / DATA_NAME) as temporary:
        np.savez_compressed(temporary, **demo)
    for space in SPACES:
        curves = {heading: demo[f"{space}_{measure}"].tolist() for measure, heading in HEADINGS.items()}
        print("\n" + format_phases(f"{space}, simulated", curves))
    print(f"\nresults: {directory / FIGURE_NAME}, {directory / DATA_NAME}")


def simulate(args: argparse.Namespace) -> dict[str, Any]:
    """Sigmas, and per step and space the mean measures and the last step's latents, as plain arrays."""
    sigmas = np.array(sigma_grid(args.solver, steps=args.num_inference_steps, shift=args.shift).sigmas[:-1])
    video = GaussianVideo.with_correlation(args.correlation, args.latent_frames)
    shape = (CHANNELS, args.latent_frames, ROWS, COLUMNS)
    noise = np.random.default_rng(args.seed).standard_normal(shape)
    rows: dict[str, list[float]] = {f"{space}_{m}": [] for space in SPACES for m in ("normalized_l2", "cosine", "mse")}
    for sigma in sigmas:
        state = video.at(float(sigma), noise)
        for space in SPACES:
            pairs = measure_pairs(getattr(state, space))
            for measure in ("normalized_l2", "cosine", "mse"):
                rows[f"{space}_{measure}"].append(float(np.mean(getattr(pairs, measure))))
    return {"sigmas": sigmas, "simulated": np.array(True)} | {name: np.array(values) for name, values in rows.items()}


def build_parser() -> Parser:
    parser = make_parser("continuity-demo", DESCRIPTION)
    groups = Groups(parser)
    parser.add_argument("--demo", action="store_true", help="run the demonstration (also what no flag at all does)")
    group = groups["simulation"]
    group.add_argument("--num_inference_steps", type=int, default=20, help="(%(default)s)")
    group.add_argument("--latent_frames", type=int, default=13, help="13 are 49 pixel frames (%(default)s)")
    group.add_argument("--correlation", type=float, default=0.95, help="of neighbouring clean frames (%(default)s)")
    group.add_argument("--shift", type=float, default=12.0, help="of the sigma grid (%(default)s)")
    group.add_argument("--solver", choices=SOLVER_NAMES, default="unipc", help="whose grid (%(default)s)")
    group.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    add_output_flags(groups, output_dir="demo_continuity")
    return parser


def _refuse(args: argparse.Namespace) -> None:
    check_count("--num_inference_steps", args.num_inference_steps, most=MAX_STEPS)
    if args.latent_frames < 2:
        raise InvalidInput(f"--latent_frames {args.latent_frames} must be at least 2: continuity compares neighbours")
    if not 0.0 <= args.correlation < 1.0:
        raise InvalidInput(f"--correlation {args.correlation:g} must be at least 0 and below 1")
    if not args.shift > 0:
        raise InvalidInput(f"--shift {args.shift:g} must be greater than 0")
    refuse_infinite("--shift", (args.shift,), most=MAX_SHIFT)
    if args.latent_frames > MAX_LATENT_FRAMES:
        raise InvalidInput(f"--latent_frames {args.latent_frames} must be at most {MAX_LATENT_FRAMES}")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed} must be 0 or more")
    check_seed(args.seed, name="--seed")


def _curves(demo: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    return {
        space: {measure: demo[f"{space}_{measure}"].tolist() for measure in ("normalized_l2", "cosine")}
        for space in SPACES
    }
