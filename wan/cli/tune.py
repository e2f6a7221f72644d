"""``wan tune``: find the plan with the least error for every budget, on the user's own checkpoint."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wan.commands import command_line
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, add_flags, make_parser, values_of
from wan.instruments.flags import DEMO_TASK
from wan.job import Job, open_job_checkpoint, prepare
from wan.limits import MAX_COUNT, MAX_THREADS, check_count
from wan.loading.layouts import Checkpoint
from wan.loading.prompt_length import cut_notices
from wan.machine import Machine
from wan.request import Request
from wan.runs.folders import refuse_existing
from wan.runs.provenance import CALIBRATION_NAME, checkpoint_identity
from wan.runs.writable import refuse_unwritable_file, refuse_unwritable_folder
from wan.sampling.price import published_size
from wan.tune.clips import TUNING_SEED, VERIFICATION_SEED, TuneClip, clips_from_file, default_clips
from wan.tune.options import BUDGETS, DEMO_OPTIONS, TuneOptions, tune_cost

_REQUEST = (
    "task", "ckpt_dir", "image", "size", "frame_num", "negative_prompt",
    "sample_solver", "sample_steps", "sample_shift", "sample_guide_scale",
)  # fmt: skip
_MACHINE = ("device", "dtype", "attention", "offload", "t5_cpu", "text_cache", "ignore_memory_check")
_NUMBERS = ("clips", "verify_clips", "trials", "amplification_steps", "amplification_clips", "at_once")
DESCRIPTION = f"""\
Find the best plan for every budget, on your own checkpoint, without training.

    {command_line("tune", "--dry_run")}                              the demo model: what it would cost
    {command_line("tune", "--overwrite")}                            make the demo model's calibration again
    {command_line("tune")} --task t2v-A14B --ckpt_dir DIR --budgets 0.5 --dry_run
    {command_line("tune")} --task t2v-A14B --ckpt_dir DIR --budgets 0.5 --prompts prompts.txt

It records a few plain runs, estimates from them which steps matter, moves the steps while it makes every candidate on
all tuning clips, and verifies the best on other clips. The plans go to {CALIBRATION_NAME} in the checkpoint's folder,
where --budget finds them. The same command continues a run that was interrupted.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    machine = Machine(**values_of(Machine, args))
    request = Request(**values_of(Request, args), machine=machine)
    job = prepare(request, default_task=DEMO_TASK, needs_image=not args.dry_run)
    _refuse_without_plans(job)
    options = options_of(args, job)
    checkpoint = None if args.dry_run and not _has_checkpoint(job) else open_job_checkpoint(job)
    size = checkpoint.denoiser_size if checkpoint else published_size(job.config)
    cost = tune_cost(options, steps=len(job.plan.steps), geometry=job.geometry, size=size)
    tuning, verification = clips_of(args, job, options)
    if checkpoint:
        texts = {f"the prompt {clip.prompt[:20]!r}...": clip.prompt for clip in (*tuning, *verification)}
        for notice in (*job.notices, *cut_notices(checkpoint, texts | {"--negative_prompt": job.negative_prompt})):
            print(notice)
    for line in cost.lines():
        print(line)
    output = args.output or (checkpoint.path / CALIBRATION_NAME if checkpoint else None)
    if output:
        refuse_unwritable_file(output, flag="--output")
    refuse_unwritable_folder(args.work_dir or Path("tuning"), flag="--work_dir")
    if args.dry_run:
        return
    assert checkpoint is not None and output is not None
    from wan.loading.models import check_weights  # takes seconds that --help and --dry_run need not wait for

    check_weights(checkpoint)
    if not args.overwrite:
        refuse_existing(output, flag="--output")
    tune(job, checkpoint, options, clips=(tuning, verification), args=args, output=output, argv=argv)


def tune(
    job: Job,
    checkpoint: Checkpoint,
    options: TuneOptions,
    *,
    clips: tuple[list[TuneClip], list[TuneClip]],
    args: argparse.Namespace,
    output: Path,
    argv: Sequence[str],
) -> None:
    """Run it, and say what came out."""
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    from wan.models.host_memory import keep_freed_memory  # take seconds that --help and --dry_run need not wait for
    from wan.session import Session
    from wan.tune.tuner import Tuner

    keep_freed_memory()
    identity = checkpoint_identity(checkpoint.path)["id"]
    tuner = Tuner(
        session=Session(job, checkpoint=checkpoint, show_progress=False),
        job=job,
        options=options,
        clips=clips[0],
        verify_clips=clips[1],
        folder=args.work_dir or Path("tuning") / f"{job.config.name}-{identity[:12]}",
        output=output,
        command=command_line("tune", *argv),
        say=print,
        show_progress=not args.quiet,
    )
    calibration = tuner.run()
    for plan in calibration.plans:
        assert plan.expected is not None
        print(f"--budget {plan.budget:g}: {len(plan.steps)} steps, {plan.expected.sentence()}")
    print(f"saved {output}")


def build_parser() -> Parser:
    parser = make_parser("tune", DESCRIPTION)
    groups = Groups(parser)
    add_flags(groups, Request, leave_out=[name for name in Request.__dataclass_fields__ if name not in _REQUEST])
    add_flags(groups, Machine, leave_out=[name for name in Machine.__dataclass_fields__ if name not in _MACHINE])
    group = groups["tuning"]
    group.add_argument(
        "--budgets", type=float, nargs="+", default=list(BUDGETS), help="shares of the plain run's cost (%(default)s)"
    )
    group.add_argument("--prompts", type=Path, help="text file, one prompt a line (the demo model has its own)")
    group.add_argument("--clips", type=int, help="clips to tune on (4; the demo model: 36)")
    group.add_argument("--verify_clips", type=int, help="other clips to verify on (4; the demo model: 36)")
    group.add_argument("--trials", type=int, help="candidates that are made for each budget at most (9; 80)")
    group.add_argument("--amplification_steps", type=int, help="noise levels at which runs are disturbed (4; 8)")
    group.add_argument("--amplification_clips", type=int, help="clips that are disturbed (1; 6)")
    group.add_argument("--at_once", type=int, help="clips in one forward: more need more memory (1; 36)")
    group.add_argument("--work_dir", type=Path, help="what an interrupted run continues from (tuning/TASK-CHECKPOINT)")
    group.add_argument("--output", type=Path, help=f"default: {CALIBRATION_NAME} in the checkpoint's folder")
    group.add_argument("--overwrite", action="store_true", help="replace an existing --output")
    group.add_argument("--dry_run", action="store_true", help="print what it would cost, load nothing")
    group.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    group.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


def options_of(args: argparse.Namespace, job: Job) -> TuneOptions:
    """The flags over the defaults of the model; ``InvalidInput`` for numbers below 1."""
    given = {name: value for name in _NUMBERS if (value := getattr(args, name)) is not None}
    for name, value in {**given, "threads": args.threads or 1}.items():
        check_count(f"--{name}", value, most=MAX_THREADS if name == "threads" else MAX_COUNT)
    defaults = DEMO_OPTIONS if job.config.bundled_checkpoint else TuneOptions()
    options = replace(defaults, budgets=tuple(dict.fromkeys(args.budgets)), **given)
    return replace(options, amplification_clips=min(options.amplification_clips, options.clips))


def clips_of(args: argparse.Namespace, job: Job, options: TuneOptions) -> tuple[list[TuneClip], list[TuneClip]]:
    """The clips to tune on and, with other prompts, those to verify on."""

    if args.prompts is not None:
        tuning = clips_from_file(args.prompts, options.clips, draw=TUNING_SEED)
        return tuning, clips_from_file(args.prompts, options.verify_clips, draw=VERIFICATION_SEED)
    is_demo = job.config.bundled_checkpoint is not None
    tuning = default_clips(options.clips, draw=TUNING_SEED, is_demo=is_demo)
    others = default_clips(options.verify_clips, draw=VERIFICATION_SEED, is_demo=is_demo, other_than=tuning)
    return tuning, others


def _has_checkpoint(job: Job) -> bool:
    return job.request.ckpt_dir is not None or job.config.bundled_checkpoint is not None


def _refuse_without_plans(job: Job) -> None:
    """``InvalidInput`` for a plain run that no plan could stand for."""
    if any(len(step.evaluated) < 2 for step in job.plan.steps):
        raise InvalidInput(
            "--sample_guide_scale 1 leaves one guidance pass, and plans are tuned with both: give the scales that you "
            "generate with"
        )
    used = {step.expert for step in job.plan.steps}
    if job.config.has_two_experts and len(used) < 2:
        raise InvalidInput(
            f"--sample_steps {len(job.plan.steps)} at --sample_shift {job.settings.shift:g} use only one expert; "
            "give the settings that you generate with"
        )
