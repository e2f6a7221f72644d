"""``wan continuity``: how much neighbouring latent frames of a run differ at every denoising step."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan.analysis.continuity import SPACES
from wan.analysis.plots import require_plotting
from wan.commands import command_line
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, make_parser
from wan.instruments.flags import add_measuring_flags, measured_job
from wan.job import cut_texts, open_job_checkpoint, vary
from wan.limits import check_seed
from wan.runs.folders import claim_directory
from wan.sampling.plan import Plan

if TYPE_CHECKING:
    from wan.instruments.continuity import Study

_STALE = ("debug_latents/latent_step_*.pt", "*/debug_latents/latent_step_*.pt")
DESCRIPTION = f"""\
Temporal continuity of a run: how much neighbouring latent frames differ at every denoising step.

    {command_line("continuity")}                                        the demo model
    {command_line("continuity")} --enable_half_frame --compare continuity_analysis
    {command_line("continuity")} --from_run outputs/RUN_MADE_WITH_ENABLE_DEBUG
    {command_line("continuity")} --num_inference_steps 10 15 20 25 30   one figure over all
    {command_line("continuity")} --num_frames 13 25 49 97

Writes debug_latents/, continuity_analysis.png, expert_switch.png and continuity_statistics.json, and prints the early /
middle / late table. --num_frames counts pixel frames (49 are 13 latent frames). The same command continues a sweep
that was stopped, at the first run that is not complete.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    # imported here: torch and the measuring libraries take seconds that --help need not wait for
    from wan.instruments.continuity import analyse_folder, analyse_studies, compare_with, study_identity
    from wan.instruments.unfinished import begin_or_continue
    from wan.loading.models import check_weights
    from wan.runs.debug_latents import check_debug_steps, find_debug_latents
    from wan.session import Session

    require_plotting()
    space = _space(args)
    reference = None if args.compare is None else find_debug_latents(args.compare)
    if reference is not None:
        check_debug_steps(reference)
    if args.from_run is not None:
        folder = find_debug_latents(args.from_run)
        check_debug_steps(folder)
        directory = claim_directory(args.output_dir, flag="--output_dir", overwrite=args.overwrite)
        run = analyse_folder(folder, directory, space=space, title=str(args.from_run), say=print)
    else:
        studies = _studies(args)
        checkpoint = open_job_checkpoint(studies[0].job)
        check_weights(checkpoint)
        for notice in cut_texts(studies[0].job, checkpoint):
            print(notice)
        identity = study_identity(studies, checkpoint)
        with begin_or_continue(
            args.output_dir, flag="--output_dir", identity=identity, overwrite=args.overwrite, stale=_STALE
        ) as work:
            directory = work.directory
            session = Session(studies[0].job, checkpoint=checkpoint, show_progress=not args.quiet)
            single = analyse_studies(studies, session, directory, space=space, say=print)
            work.finish()
        if single is None:
            return
        run = single
    if reference is not None:
        compare_with(run, reference, directory, space=space, names=(_name(args), str(args.compare)), say=print)
    print(f"\nresults: {directory}")


def build_parser() -> Parser:
    parser = make_parser("continuity", DESCRIPTION)
    groups = Groups(parser)
    group = groups["what to analyse"]
    group.add_argument(
        "--space", choices=SPACES, help="what the figure and the table show: x_t (default), x0 or eps; the JSON has all"
    )
    group.add_argument("--use_epsilon", action="store_true", help="the same as --space eps")
    group.add_argument(
        "--from_run", type=Path, metavar="DIR", help="analyse a run made earlier with --enable_debug; no model"
    )
    group.add_argument("--compare", type=Path, metavar="DIR", help="overlay another run's debug latents, the reference")
    add_measuring_flags(groups, output_dir="continuity_analysis", several=False)
    _add_lists(groups["lists make a sweep: one run each, one figure"])
    parser.set_defaults(frame_num=None, sample_steps=None)
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


def _studies(args: argparse.Namespace) -> "list[Study]":
    """One per listed step count or frame count, all planned before anything loads."""
    from wan.instruments.continuity import Study

    frame_nums, step_counts = args.frame_nums or [None], args.step_counts or [None]
    if len(frame_nums) > 1 and len(step_counts) > 1:
        raise InvalidInput("--num_frames and --num_inference_steps cannot both be lists; sweep one at a time")
    if args.compare is not None and len(frame_nums) * len(step_counts) > 1:
        raise InvalidInput("--compare overlays two single runs; leave it out of a sweep")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed} must be 0 or more")
    check_seed(args.seed, name="--seed")
    first = measured_job(args, frame_num=frame_nums[0], sample_steps=step_counts[0])
    studies = []
    for frame_num in frame_nums:
        for steps in step_counts:
            job = vary(first, frame_num=frame_num, sample_steps=steps)
            _refuse_too_few_frames(job.plan)
            name = f"frames_{job.geometry.pixel_frames}" if len(frame_nums) > 1 else f"steps_{len(job.plan.steps)}"
            studies.append(Study(name=name, job=job))
    for line in dict.fromkeys(line for job in (first, *(one.job for one in studies)) for line in job.notices):
        print(line)
    return studies
