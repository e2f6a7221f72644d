"""``wan generate``: make a video from a prompt; prints its plan and price first, or with --dry_run alone."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from wan.commands import command_line
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, make_parser
from wan.footprint import estimate_lines
from wan.job import Job, cut_texts, open_job_checkpoint, prepare
from wan.job_weights import stored_as
from wan.loading.layouts import find_checkpoint_dir
from wan.loading.vocabulary import read_vocabulary
from wan.memory import BYTES, need_of, refuse_prefetch, why_too_little
from wan.parallel.price import format_shared, shared_price, ways
from wan.parallel.ranks import ranks_here
from wan.parallel.sharing import NOTHING, refuse_heads, refuse_ranks, sharing_of
from wan.recorded_request import recorded_request
from wan.request import OUTPUT, WHAT, add_request_flags, request_of
from wan.request_checks import refuse_bad_folders
from wan.resuming import earlier_run
from wan.sampling.carried_size import carried_bytes
from wan.sampling.price import DenoiserSize, price, published_size
from wan.sampling.table import format_plan, format_price


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    if args.resume is not None:
        if args.recorded is not None:
            raise InvalidInput(
                "--resume and --from exclude each other: --resume goes on with a run, --from begins anew"
            )
        resume(args)
        return
    recorded = recorded_request(args.recorded) if args.recorded is not None else None
    if recorded is not None:
        args = build_parser().parse_args([*recorded.argv_beside(request_of(args)), *argv])
        recorded.refuse_missing(request_of(args))
    job = prepare(request_of(args), needs_image=not (args.dry_run or args.list_vocabulary))
    if recorded is not None:
        job = replace(job, notices=(*recorded.notices(job), *job.notices))
    if args.list_vocabulary:
        list_vocabulary(job)
        return
    refuse_bad_folders(job.request)
    _check_nproc(args.nproc, job, is_dry=args.dry_run)
    if args.dry_run:
        dry_run(job, nproc=args.nproc)
    else:
        refuse_ranks(sharing_of(job.request.machine), ranks_here())
        # imported here: torch, diffusers and transformers take seconds that --help and --dry_run need not wait for
        from wan.generation import generate

        generate(job, say=_said(args), show_progress=not args.quiet)


def build_parser() -> Parser:
    """The official flags, ours, and what to do instead of generating."""
    example = command_line("generate", "--task", "t2v-demo", "--prompt", "a red circle moving right")
    parser = make_parser(
        "generate",
        "Generate a video with Wan2.2, optionally with training-free shortcuts.",
        epilog=f"Example: {example}",
    )
    groups = Groups(parser)
    add_request_flags(groups)
    groups[WHAT].add_argument(
        "--from",
        dest="recorded",
        type=Path,
        metavar="FILE",
        help="make again what an mp4, PNG, run.json or run folder was made with; flags given beside it win",
    )
    output = groups[OUTPUT]
    output.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with the run of this folder, with the settings it began with"
    )
    output.add_argument(
        "--accept_changes",
        action="store_true",
        help="with --resume: go on although code, versions or device have changed (not bit-equal)",
    )
    output.add_argument("--dry_run", action="store_true", help="print the plan and its price, load nothing")
    output.add_argument(
        "--nproc",
        type=int,
        metavar="N",
        help="with --dry_run: what N GPUs would need, send and take, for each way to share",
    )
    output.add_argument("--quiet", action="store_true", help="print errors only")
    output.add_argument("--list_vocabulary", action="store_true", help="print the words that t2v-demo knows")
    return parser


def dry_run(job: Job, *, nproc: int | None = None) -> None:
    """Print the plan and its price; no weight is loaded, not even torch is imported. ``nproc``: GPUs to price it on."""
    machine, notices, checkpoint = job.request.machine, list(job.notices), None
    quantize = stored_as(job.request.weights, job.replaced)
    if job.request.ckpt_dir or job.config.bundled_checkpoint:
        checkpoint = open_job_checkpoint(job)
        size = checkpoint.denoiser_size
        notices += cut_texts(job, checkpoint)
    else:
        size = published_size(job.config)
        refuse_heads(sharing_of(machine), heads=size.num_heads)
        refuse_prefetch(job.config, size, machine, quantize=quantize)
        # only a notice: without a checkpoint a plan is priced, perhaps for another machine
        need = need_of(job.config, size, job.geometry, machine=machine, quantize=quantize)
        reason = why_too_little(need, machine)
        notices += [reason] if reason else []
    tag = price(job.plan, size)
    if job.extending is not None:
        notices += [*job.extending.lines(), "--dry_run extends and sends nothing; cost does not depend on the prompt"]
    lines = (
        *notices,
        format_plan(job.plan),
        format_price(tag),
        *estimate_lines(
            job.plan,
            job.config,
            size,
            machine,
            job.request.weights,
            replaced=job.replaced,
            checkpoint=checkpoint,
        ),
        *_gpu_lines(job, size, nproc),
        *_resume_line(job, size),
    )
    for line in lines:
        print(line)


def resume(args: argparse.Namespace) -> None:
    """Go on with a run that was stopped; with --dry_run say only what it is and where it would go on."""
    earlier = earlier_run(args.resume, beside=request_of(args), accept_changes=args.accept_changes)
    if args.dry_run:
        state = "is finished" if earlier.finished_file else f"({earlier.record['status']}) can be resumed"
        print(f"{earlier.directory} {state}: {earlier.finished_file or earlier.record['command']}")
        return
    from wan import generation

    generation.resume(earlier, say=_said(args), show_progress=not args.quiet)


def list_vocabulary(job: Job) -> None:
    """Print the words of a closed vocabulary."""
    if job.config.bundled_checkpoint is None:
        raise InvalidInput(
            f"--list_vocabulary is for closed vocabularies, and {job.config.name} has an open one: drop it"
        )
    print(" ".join(read_vocabulary(find_checkpoint_dir(job.config, job.request.ckpt_dir))))


def _gpu_lines(job: Job, size: DenoiserSize, nproc: int | None) -> list[str]:
    """The price on several GPUs: the flags' own, or that of every way in which ``nproc`` can share."""
    sharing = sharing_of(job.request.machine)
    if nproc is None and sharing == NOTHING:
        return []
    shown = [sharing] if sharing.ranks > 1 else list(ways(nproc or 1, sharing))
    dtype_bytes = BYTES[job.request.machine.dtype or job.config.param_dtype]
    prices = [shared_price(job.plan, size, one, dtype_bytes=dtype_bytes) for one in shown]
    return [format_shared(prices, heads=size.num_heads)]


def _check_nproc(nproc: int | None, job: Job, *, is_dry: bool) -> None:
    """``InvalidInput`` for a number of GPUs that contradicts the flags, or that is given to a real run."""
    if nproc is None:
        return
    if not is_dry:
        raise InvalidInput(f"--nproc {nproc} prices a plan and needs --dry_run; GPUs are given to torchrun")
    if nproc < 2:
        raise InvalidInput(f"--nproc {nproc} is no number of GPUs that share a video; give 2 or more")
    sharing = sharing_of(job.request.machine)
    if sharing.ranks not in (1, nproc):
        raise InvalidInput(
            f"--nproc {nproc} contradicts {sharing.flags()}, which is for {sharing.ranks}; give one of them"
        )


def _resume_line(job: Job, size: DenoiserSize) -> list[str]:
    if job.request.no_resume_file:
        return []
    dtype_bytes = BYTES[job.request.machine.dtype or job.config.param_dtype]
    megabytes = carried_bytes(job.plan, size, dtype_bytes=dtype_bytes) / 1e6
    return [f"resume file: at most {megabytes:,.1f} MB, one file, replaced after every step"]


def _said(args: argparse.Namespace) -> Callable[[str], None]:
    return (lambda line: None) if args.quiet else print
