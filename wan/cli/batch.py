"""``wan batch``: make the videos of a file of requests; workers that share the folder work on it together."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from wan.batch.index import INDEX_NAME, PAGE_NAME, write_index
from wan.batch.lines import NOT_IN_A_BATCH, Faults, LineReader
from wan.batch.planned import Planned, Planner
from wan.batch.queue import LEASE_SECONDS, RETRIES, WAITING, Queue
from wan.batch.ray_engine import refuse_without_ray, work_with_ray
from wan.batch.results import CANCELLED
from wan.batch.settings import BatchSettings
from wan.commands import command_line
from wan.errors import InvalidInput, WanError
from wan.flags import Groups, Parser, make_parser
from wan.limits import check_count
from wan.machine import machine_of
from wan.request import OUTPUT, add_request_flags
from wan.runs.record import FAILED, FINISHED
from wan.runs.writable import refuse_unwritable_folder

MOST_RETRIES, MOST_TOGETHER, MOST_PER_SWITCH, MOST_WORKERS = 100, 32, 1_000, 100_000
MIN_LEASE, MAX_LEASE = 2.0, 86_400.0
ENGINES = ("local", "ray")
BATCH = "batch"
DESCRIPTION = f"""\
Make the videos of a file of requests, each in a run folder of its own.

    {command_line("batch")} prompts.jsonl --output_dir DIR            in several terminals, or on several machines
    {command_line("batch")} prompts.jsonl --output_dir DIR --dry_run  what all requests cost

A .jsonl file has one request a line, with any field that a request has: {{"prompt": "a red circle", "seed": 1,
"frame_num": 9, "budget": 0.5}}. Any other file is plain text with one prompt a line; # starts a comment. Flags given
here are the defaults of all lines. The same command goes on with what is not finished.
"""


class BatchIncomplete(WanError):
    """Not every request of a batch is finished."""


def main(argv: Sequence[str]) -> int:
    args = build_parser().parse_args(argv)
    settings = settings_of(args)
    faults = Faults(args.file)
    planned = Planner(faults, is_dry=args.dry_run).plan(LineReader(args.file, args).read(faults))
    faults.raise_all()
    refuse_unwritable_folder(settings.folder, flag="--output_dir")
    if args.dry_run:
        dry_run(planned, settings)
        return 0
    say = _said(args)
    queue = Queue(settings.folder, lease=settings.lease, retries=settings.retries)
    queue.submit(one.entry for one in planned)
    if args.retry_failed:
        retry_failed(queue, say)
    if not queue.is_over():
        run(settings, args, say)
    write_index(queue, title=settings.title)
    return ended(queue, settings)


def settings_of(args: argparse.Namespace) -> BatchSettings:
    """The command's own flags, checked."""
    check_count("--batch_size", args.batch_size, most=MOST_TOGETHER)
    check_count("--videos_per_switch", args.videos_per_switch, most=MOST_PER_SWITCH)
    if args.batch_size > 1 and args.videos_per_switch > 1:
        raise InvalidInput(
            f"--batch_size {args.batch_size} and --videos_per_switch {args.videos_per_switch} cannot be combined: "
            "shared forwards share the switch of experts, too; give one of them"
        )
    check_count("--workers", 1 if args.workers is None else args.workers, most=MOST_WORKERS)
    if not 0 <= args.retries <= MOST_RETRIES:
        raise InvalidInput(f"--retries {args.retries} must be from 0 to {MOST_RETRIES}")
    if not MIN_LEASE <= args.lease <= MAX_LEASE:
        raise InvalidInput(f"--lease {args.lease:g} must be from {MIN_LEASE:g} to {MAX_LEASE:g} seconds")
    if args.workers is not None and args.engine == "local":
        raise InvalidInput(
            "--workers is for --engine ray; with --engine local each command is one worker: give the command again for "
            "another one"
        )
    if args.engine == "ray":
        refuse_without_ray()
    return BatchSettings(
        folder=(args.output_dir or Path("batch_outputs") / args.file.stem).absolute(),
        title=f"Batch {args.file.name}",
        machine=machine_of(args),
        lease=args.lease,
        retries=args.retries,
        batch_size=args.batch_size,
        videos_per_switch=args.videos_per_switch,
        accept_changes=args.accept_changes,
        quiet=args.quiet,
    )


def build_parser() -> Parser:
    """The fields of a request, and how the batch is worked on."""
    parser = make_parser("batch", DESCRIPTION, usage="%(prog)s FILE [flags]")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="requests: .jsonl, or plain text with one prompt a line"
    )
    groups = Groups(parser)
    add_request_flags(groups, leave_out=NOT_IN_A_BATCH)
    groups[OUTPUT].add_argument(
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="run folders, queue, index and page go here; workers that share it work together (batch_outputs/NAME)",
    )
    _add_batch_flags(groups[BATCH])
    return parser


def _add_batch_flags(batch: argparse._ArgumentGroup) -> None:
    batch.add_argument(
        "--retries",
        type=int,
        default=RETRIES,
        metavar="N",
        help="how often a failed request is tried again (%(default)s)",
    )
    batch.add_argument(
        "--batch_size",
        type=int,
        default=1,
        metavar="N",
        help="requests with equal plans and shapes share forwards, so many at a time (%(default)s)",
    )
    batch.add_argument(
        "--videos_per_switch",
        type=int,
        default=1,
        metavar="N",
        help="make the high-noise steps of so many requests, then their low-noise steps: with --offload expert each "
        "expert is read once for all of them (%(default)s)",
    )
    batch.add_argument(
        "--lease",
        type=float,
        default=LEASE_SECONDS,
        metavar="SECONDS",
        help="silence after which a worker of another machine is thought dead (%(default)s)",
    )
    batch.add_argument("--engine", choices=ENGINES, default="local", help="what runs the workers (%(default)s)")
    batch.add_argument("--workers", type=int, metavar="N", help="with --engine ray: actors; default: one per GPU")
    batch.add_argument("--retry_failed", action="store_true", help="try again what has failed before")
    batch.add_argument(
        "--accept_changes",
        action="store_true",
        help="go on although code, versions or device have changed (not bit-equal)",
    )
    batch.add_argument("--dry_run", action="store_true", help="print what all requests cost, load nothing")
    batch.add_argument("--quiet", action="store_true", help="print errors only")


def run(settings: BatchSettings, args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Work until every request has ended."""
    if args.engine == "ray":
        work_with_ray(settings, workers=args.workers, say=say)
        return
    from wan.batch.local import work_here  # takes seconds that --help and --dry_run need not wait for

    work_here(settings, say=say)


def dry_run(planned: Sequence[Planned], settings: BatchSettings) -> None:
    """Print what all requests cost; nothing is loaded or written."""
    for notice in dict.fromkeys(notice for one in planned for notice in one.notices):
        print(notice)
    flops = [one.tag.planned.flops for one in planned]
    sessions = len({one.entry.session for one in planned})
    share = sum(flops) / sum(one.tag.plain.flops for one in planned)
    print(f"{len(planned):,} requests, {sum(flops):.3g} FLOPs in all (estimate), {share:.3f} of plain runs")
    print(f"dearest: {planned[0].entry.source}, {max(flops):.3g} FLOPs; cheapest: {min(flops):.3g} FLOPs")
    print(f"checkpoints and machine settings: {sessions}, each loaded once by every worker")
    if settings.batch_size > 1:
        print(f"shared forwards: {_forwards(planned, settings.batch_size):,} instead of {len(planned):,} runs")


def _forwards(planned: Sequence[Planned], batch_size: int) -> int:
    groups = [one.entry.group for one in planned]
    alone = groups.count("")
    return alone + sum(-(-groups.count(group) // batch_size) for group in set(groups) - {""})


def retry_failed(queue: Queue, say: Callable[[str], None]) -> None:
    """Let every request that has failed wait again."""
    failed = [status.id for status in queue.statuses() if status.state == FAILED]
    again = sum(queue.retry(one) for one in failed)
    say(f"{again} requests that had failed are tried again")


def ended(queue: Queue, settings: BatchSettings) -> int:
    """Say how it ended; exit code 0 when every request is finished."""
    counts = queue.counts()
    total = sum(counts.values())
    states = (FAILED, CANCELLED, WAITING)
    rest = [f"{counts[state]:,} {state}" for state in states if counts[state]]
    if counts[FINISHED] == total:
        if not settings.quiet:
            print(f"{total:,} requests are finished: {settings.folder / PAGE_NAME}")
        return 0
    raise BatchIncomplete(
        f"{counts[FINISHED]:,} of {total:,} requests are finished, {', '.join(rest)}; {settings.folder / INDEX_NAME} "
        "says why, and --retry_failed tries again what failed"
    )


def _said(args: argparse.Namespace) -> Callable[[str], None]:
    """Lines for the user, above the progress bar."""
    if args.quiet:
        return lambda line: None
    from tqdm import tqdm

    return tqdm.write
