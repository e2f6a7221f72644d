"""Temporal continuity of a run: how much neighbouring latent frames differ at every denoising step.

    python tools/analyze_temporal_continuity.py                                        the demo model
    python tools/analyze_temporal_continuity.py --enable_half_frame --compare continuity_analysis
    python tools/analyze_temporal_continuity.py --from_run outputs/RUN_MADE_WITH_ENABLE_DEBUG
    python tools/analyze_temporal_continuity.py --num_inference_steps 10 15 20 25 30   one figure over all
    python tools/analyze_temporal_continuity.py --num_frames 13 25 49 97

Writes debug_latents/, continuity_analysis.png, expert_switch.png and continuity_statistics.json, and prints the early /
middle / late table. --num_frames counts pixel frames (49 are 13 latent frames). docs/experiments.md explains it all.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from wan.analysis.continuity import SPACES
from wan.analysis.plots import require_plotting
from wan.errors import InvalidInput
from wan.instruments.continuity import Job, analyse_folder, analyse_job, compare_with, sweep
from wan.instruments.flags import add_common_flags, add_request_flags, make_options, parse_flags, run_tool, tool_parser
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.options import Parser
from wan.runs.debug_latents import find_debug_latents
from wan.runs.results import claim_directory
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.session import Session

NAME = "analyze_temporal_continuity.py"
_STALE = ("debug_latents/latent_step_*.pt", "*/debug_latents/latent_step_*.pt")


def main(argv: Sequence[str]) -> None:
    args = parse_flags(build_parser(), argv)
    require_plotting()
    space = _space(args)
    reference = None if args.compare is None else find_debug_latents(Path(args.compare))
    if args.from_run is not None:
        folder = find_debug_latents(Path(args.from_run))
        directory = claim_directory(Path(args.output_dir), flag="--output_dir", overwrite=args.overwrite)
        run = analyse_folder(folder, directory, space=space, title=str(args.from_run), report=print)
    else:
        jobs = _jobs(args)
        checkpoint = jobs[0].options
        open_checkpoint(checkpoint.config, find_checkpoint_dir(checkpoint.config, checkpoint.ckpt_dir))
        directory = claim_directory(Path(args.output_dir), flag="--output_dir", overwrite=args.overwrite, stale=_STALE)
        session = Session(jobs[0].options, show_progress=not args.quiet)
        if len(jobs) > 1:
            sweep(jobs, session, directory, space=space, report=print)
            return
        run = analyse_job(jobs[0], session, directory, space=space, report=print)
    if reference is not None:
        compare_with(run, reference, directory, space=space, names=(_name(args), str(args.compare)), report=print)
    print(f"\nresults: {directory}")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    group = parser.add_argument_group("what to analyse")
    group.add_argument(
        "--space", choices=SPACES, help="what the figure and the table show: x_t (default), x0 or eps; the JSON has all"
    )
    group.add_argument("--use_epsilon", action="store_true", help="the same as --space eps")
    group.add_argument("--from_run", metavar="DIR", help="analyse a run made earlier with --enable_debug; no model")
    group.add_argument("--compare", metavar="DIR", help="overlay another run's debug latents, the reference")
    add_request_flags(parser.add_argument_group("what to generate"), several=False)
    add_common_flags(parser, output_dir="continuity_analysis")
    _add_lists(parser.add_argument_group("lists make a sweep: one run each, one figure"))
    return parser


def _add_lists(group: argparse._ArgumentGroup) -> None:
    # these give shared flags another form, so they come last
    group.add_argument(
        "--num_frames", "--frame_num", dest="frame_nums", type=int, nargs="+", help="pixel frames; default: the task's"
    )
    group.add_argument(
        "--num_inference_steps",
        "--sample_steps",
        "--sampling_steps",
        dest="step_counts",
        type=int,
        nargs="+",
        help="denoising steps; default: the task's",
    )
    group.add_argument(
        "--enable_half_frame",
        "--enable_half_frame_generation",
        dest="enable_half_frame_generation",
        action="store_true",
        help="half the latent frames in the high-noise expert",
    )


def _name(args: argparse.Namespace) -> str:
    if args.from_run is not None:
        return str(args.from_run)
    return "this run, half-frame" if args.enable_half_frame_generation else "this run"


def _refuse_too_few_frames(plan: Plan) -> None:
    fewest = min(step.latent_frames for step in plan.steps)
    if fewest < 2:
        raise InvalidInput(
            f"--num_frames {plan.geometry.pixel_frames} leaves {fewest} latent frame in some steps, and continuity "
            "compares neighbours; give at least 9 (half-frame) or 5 frames, and no image task"
        )


def _space(args: argparse.Namespace) -> str:
    if args.use_epsilon and args.space not in (None, "eps"):
        raise InvalidInput(f"--use_epsilon and --space {args.space} contradict each other; give one of them")
    return "eps" if args.use_epsilon else args.space or "x_t"


def _jobs(args: argparse.Namespace) -> list[Job]:
    """One job per listed step count or frame count, all planned before anything loads."""
    frame_nums, step_counts = args.frame_nums or [None], args.step_counts or [None]
    if len(frame_nums) > 1 and len(step_counts) > 1:
        raise InvalidInput("--num_frames and --num_inference_steps cannot both be lists; sweep one at a time")
    if args.compare is not None and len(frame_nums) * len(step_counts) > 1:
        raise InvalidInput("--compare overlays two single runs; leave it out of a sweep")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed} must be 0 or more")
    jobs = []
    for frame_num in frame_nums:
        for steps in step_counts:
            own = argparse.Namespace(**vars(args) | {"frame_num": frame_num, "sample_steps": steps})
            options = make_options(own, prompt=args.prompt)
            plan = make_plan(options.settings, options.geometry)
            _refuse_too_few_frames(plan)
            name = f"frames_{plan.geometry.pixel_frames}" if len(frame_nums) > 1 else f"steps_{len(plan.steps)}"
            jobs.append(Job(name=name, options=options, plan=plan, seed=args.seed))
    for line in dict.fromkeys(line for job in jobs for line in (*job.options.notices, *job.plan.notices)):
        print(line)
    return jobs


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
