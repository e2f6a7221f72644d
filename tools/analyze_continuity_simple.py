"""Temporal continuity without a model: the seeds' functions, and a demonstration on simulated latents.

    python tools/analyze_continuity_simple.py --demo

The demonstration is simulated, and says so: the latents are the exact flow of a Gaussian video model whose neighbouring
frames correlate (wan/analysis/gaussian_video.py), on the sigma grid that Wan2.2 samples on. For a real model use
tools/analyze_temporal_continuity.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wan.analysis.continuity import SPACES, cosine_similarity, format_phases, measure_pairs, normalized_l2
from wan.analysis.continuity_plots import plot_demo
from wan.analysis.gaussian_video import GaussianVideo
from wan.analysis.plots import require_plotting
from wan.errors import InvalidInput
from wan.instruments.flags import add_output_flags, run_tool, tool_parser
from wan.options import Parser
from wan.runs import atomic_path
from wan.runs.results import claim_directory
from wan.sampling.schedule import SOLVER_NAMES, sigma_grid

NAME = "analyze_continuity_simple.py"
FIGURE_NAME, DATA_NAME = "temporal_continuity_demo.png", "temporal_continuity_demo.npz"
HEADINGS = {"normalized_l2": "Normalized L2 Distance", "cosine": "Cosine Similarity"}
CHANNELS, ROWS, COLUMNS = 16, 8, 8


def compute_normalized_l2_distance(latent_f: Any, latent_f_plus_1: Any) -> float:
    """||b - a|| / sqrt(||a||^2 + ||b||^2) of two latent frames [C, H, W], arrays or tensors; smaller is more alike.

    In [0, sqrt 2]: 0 for equal frames, about 1 for independent noise.
    """
    return normalized_l2(_as_array(latent_f), _as_array(latent_f_plus_1))


def compute_cosine_similarity(latent_f: Any, latent_f_plus_1: Any) -> float:
    """Cosine of the angle between two latent frames [C, H, W], arrays or tensors, in [-1, 1]."""
    return cosine_similarity(_as_array(latent_f), _as_array(latent_f_plus_1))


def analyze_latent_continuity(latent: Any, step_idx: int) -> tuple[float, float]:
    """(mean normalised L2 distance, mean cosine similarity) over all pairs of neighbouring frames of one step.

    ``latent`` is [F, C, H, W] or [B, F, C, H, W] (frames before channels; the mean is also over the batch);
    ``step_idx`` only names the step in an error. ValueError for another shape or fewer than two frames.
    """
    frames = _as_array(latent)
    batch = frames[None] if frames.ndim == 4 else frames
    if batch.ndim != 5 or batch.shape[1] < 2:
        raise ValueError(
            f"step {step_idx}: latent must be [F, C, H, W] or [B, F, C, H, W] with F of at least 2, not {frames.shape}"
        )
    pairs = [measure_pairs(np.moveaxis(video, 0, 1)) for video in batch]
    return float(np.mean([p.normalized_l2 for p in pairs])), float(np.mean([p.cosine for p in pairs]))


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    require_plotting()
    _refuse(args)
    directory = claim_directory(Path(args.output_dir), flag="--output_dir", overwrite=args.overwrite)
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
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--demo", action="store_true", help="run the demonstration (also what no flag at all does)")
    group = parser.add_argument_group("simulation")
    group.add_argument("--num_inference_steps", type=int, default=20, help="(%(default)s)")
    group.add_argument("--latent_frames", type=int, default=13, help="13 are 49 pixel frames (%(default)s)")
    group.add_argument("--correlation", type=float, default=0.95, help="of neighbouring clean frames (%(default)s)")
    group.add_argument("--shift", type=float, default=12.0, help="of the sigma grid (%(default)s)")
    group.add_argument("--solver", choices=SOLVER_NAMES, default="unipc", help="whose grid (%(default)s)")
    group.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    add_output_flags(parser.add_argument_group("output"), output_dir="demo_continuity")
    return parser


def _refuse(args: argparse.Namespace) -> None:
    if args.num_inference_steps < 1:
        raise InvalidInput(f"--num_inference_steps {args.num_inference_steps} must be at least 1")
    if args.latent_frames < 2:
        raise InvalidInput(f"--latent_frames {args.latent_frames} must be at least 2: continuity compares neighbours")
    if not 0.0 <= args.correlation < 1.0:
        raise InvalidInput(f"--correlation {args.correlation:g} must be at least 0 and below 1")
    if not args.shift > 0:
        raise InvalidInput(f"--shift {args.shift:g} must be greater than 0")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed} must be 0 or more")


def _curves(demo: dict[str, np.ndarray]) -> dict[str, dict[str, list[float]]]:
    return {
        space: {measure: demo[f"{space}_{measure}"].tolist() for measure in ("normalized_l2", "cosine")}
        for space in SPACES
    }


def _as_array(values: Any) -> np.ndarray:
    """A tensor of any dtype and device, or an array, as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype=np.float64)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
