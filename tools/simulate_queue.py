"""Simulate 200 workers on a million requests with measured costs of the queue: utilisation, and what breaks first.

python tools/simulate_queue.py [--requests 1000000] [--workers 200] [--update_docs]

It first measures the real queue on this disk: handing in, claiming, keeping alive and ending a request, listing names
and writing the index. Then an event queue with a clock of its own plays the whole batch. All operations on files stand
in one line at one metadata server, each for as long as it took here.
"""

import functools
import heapq
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.batch.claims import BEATS_IN_LEASE
from wan.batch.identity import Worker
from wan.batch.index import write_index
from wan.batch.listing import list_segment
from wan.batch.queue import LEASE_SECONDS, Queue
from wan.batch.segments import MOST_IN_SEGMENT, Entry
from wan.commands import SOURCE_DIR
from wan.flags import Parser

NAME = "simulate_queue.py"
BEGIN, END = "<!-- simulation:begin -->", "<!-- simulation:end -->"
PAGES = ("batch.md", "batch.zh.md")
SIZES = ((1.0, 0.25), (0.5, 0.5), (0.2, 0.25))
"""Of a mixed batch: length of a video as a share of the longest, and the share of such requests."""
NOISE = 0.05
"""Spread of the seconds of equal requests, as a share of them; measured by --batch, or this."""
DEATHS_A_DAY = 1.0
"""Of one worker: a node that fails, or is taken away."""
LONGEST = (2.0, 20.0, 300.0, 1500.0)
"""Seconds of the longest video: the demo model's, and what 480p takes on about 8, and on one H100 (computed)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Seconds of one operation on this disk. ``per_name``: of listing one name; ``row``: of one row of the index."""

    submit: float
    create: float
    end: float
    beat: float
    per_name: float
    row: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """``busy``: share of the workers' time in videos; ``server``: share of the time in which files are worked on."""

    hours: float
    busy: float
    server: float


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    costs = measure(args.sample)
    noise = spread_of(args.batch) if args.batch else NOISE
    lines = report(costs, requests=args.requests, workers=args.workers, noise=noise)
    print("\n".join(lines))
    if args.update_docs:
        for page in PAGES:
            path = SOURCE_DIR / "docs" / page
            text = path.read_text(encoding="utf-8")
            path.write_text(replace_between(text, "\n".join(lines), begin=BEGIN, end=END), encoding="utf-8")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--workers", type=int, default=200, help="(%(default)s)")
    parser.add_argument(
        "--sample", type=int, default=2000, help="requests that the costs are measured on (%(default)s)"
    )
    parser.add_argument("--batch", type=Path, help="folder of a batch whose seconds of equal requests are compared")
    parser.add_argument("--update_docs", action="store_true", help="write the tables into docs/batch.md and .zh.md")
    return parser


def measure(sample: int) -> Costs:
    """The costs of the real queue, in a folder for temporary files."""
    with tempfile.TemporaryDirectory() as place:
        queue = Queue(Path(place), worker=Worker("measured"))
        entries = [
            Entry(key=f"{n:016x}", folder=f"{n:05d}", argv=("--prompt", "a" * 80), source="", prompt="a" * 80)
            for n in range(sample)
        ]
        submit = _seconds(lambda: queue.submit(entries)) / sample
        claimed, beat, end = (0.0 for _ in range(3))
        for _ in range(sample):
            start = time.perf_counter()
            (claim,) = queue.claim()
            claimed += time.perf_counter() - start
            beat += _seconds(claim.keep)
            end += _seconds(functools.partial(claim.finish, file="video.mp4"))
        row = _seconds(lambda: write_index(queue, title="")) / sample
        names = sum(len(os.listdir(folder)) for folder in queue.root.iterdir() if folder.is_dir())
        listing = _seconds(lambda: [list_segment(queue.root, n) for n in range(-(-sample // MOST_IN_SEGMENT))])
        per_name = listing / names
    listed = per_name * MOST_IN_SEGMENT  # names, of claims and endings, in a segment half of which has ended
    return Costs(
        submit=submit,
        create=max(claimed / sample - listed, 1e-5),
        end=end / sample,
        beat=beat / sample,
        per_name=per_name,
        row=row,
    )


def spread_of(folder: Path) -> float:
    """Standard deviation of the seconds of equal requests of a finished batch, as a share of their mean."""
    seconds: dict[float, list[float]] = {}
    for status in Queue(folder).statuses():
        if status.result and status.result.file:
            seconds.setdefault(status.entry.price, []).append(status.result.seconds)
    several = [found[1:] for found in seconds.values() if len(found) > 3]  # the first one loads the model
    return statistics.mean(statistics.stdev(found) / statistics.mean(found) for found in several)


def simulate(
    lengths: Sequence[float], *, workers: int, claim: Callable[[int], float], end: float, beats: float, seed: int = 0
) -> Outcome:
    """Play a batch: ``lengths`` in the order in which they are claimed; ``claim`` gives the seconds of the n-th claim.

    A worker that dies comes back at once, and its request goes on when its lease is over; what it had done is kept.
    """
    rng = random.Random(seed)
    free, server, used, working = [(0.0, n) for n in range(workers)], 0.0, 0.0, 0.0
    heapq.heapify(free)
    slow = 1.0 / max(1e-9, 1.0 - beats)  # heartbeats take a share of the server
    for number, length in enumerate(lengths):
        now, worker = heapq.heappop(free)
        cost = (claim(number) + end) * slow
        server = max(server, now) + cost
        used += cost
        dies = rng.random() < length / 86_400 * DEATHS_A_DAY
        working += length
        heapq.heappush(free, (max(server, now) + length + (LEASE_SECONDS if dies else 0.0), worker))
    makespan = max(moment for moment, _ in free)
    return Outcome(hours=makespan / 3600, busy=working / (makespan * workers), server=used / makespan)


def mixed(count: int, longest: float, *, noise: float, is_sorted: bool, seed: int = 0) -> list[float]:
    """Seconds of so many videos of the mixed sizes; sorted by what is planned, longest first, or in any order."""
    rng = random.Random(seed)
    planned = rng.choices([share for share, _ in SIZES], [weight for _, weight in SIZES], k=count)
    if is_sorted:
        planned.sort(reverse=True)
    return [longest * share * max(0.1, rng.gauss(1.0, noise)) for share in planned]


def report(costs: Costs, *, requests: int, workers: int, noise: float) -> list[str]:
    """The tables of the page."""
    beats = workers * costs.beat / (LEASE_SECONDS / BEATS_IN_LEASE)
    lines = [
        f"`python tools/{NAME}`: {workers} workers, {requests:,} requests; costs measured on this disk: claim "
        f"{1e3 * costs.create:.2f} ms and {1e6 * costs.per_name:.2f} µs for each name listed, end "
        f"{1e3 * costs.end:.2f} ms, heartbeat {1e3 * costs.beat:.2f} ms, submit {1e3 * costs.submit:.3f} ms, a row of "
        f"the index {1e3 * costs.row:.3f} ms; equal videos differ by {noise:.1%}, a worker dies "
        f"{DEATHS_A_DAY:g} time a day. Each cell: hours, utilisation of the workers, share of the time in which files "
        "are worked on.",
        "",
        "| longest video | all names in one folder | segments of 1,000 | without any overhead |",
        "|---|---|---|---|",
    ]
    for longest in LONGEST:
        lengths = mixed(requests, longest, noise=noise, is_sorted=True)
        whole = simulate(lengths, workers=workers, claim=one_folder(costs), end=costs.end, beats=beats)
        parts = simulate(lengths, workers=workers, claim=segments(costs), end=costs.end, beats=beats)
        ideal = sum(lengths) / workers / 3600
        lines.append(f"| {longest:g} s | {_cell(whole)} | {_cell(parts)} | {ideal:.1f} h |")
    return [*lines, "", *_others(costs, requests, workers, noise, beats)]


def one_folder(costs: Costs) -> Callable[[int], float]:
    """Every claim lists all claims and endings of the batch so far."""
    return lambda number: costs.create + 2 * number * costs.per_name


def segments(costs: Costs) -> Callable[[int], float]:
    """A claim lists the claims and endings of one segment, and the names of the segments: list, folder and mark."""
    return lambda number: (
        costs.create + costs.per_name * (2 * (number % MOST_IN_SEGMENT) + 3 * (number // MOST_IN_SEGMENT))
    )


def _others(costs: Costs, requests: int, workers: int, noise: float, beats: float) -> list[str]:
    """What else could break."""
    few = 5 * workers
    orders = {
        name: simulate(
            mixed(few, 300.0, noise=noise, is_sorted=is_sorted), workers=workers, claim=segments(costs), end=costs.end,
            beats=beats,
        )
        for name, is_sorted in (("longest first", True), ("in any order", False))
    }  # fmt: skip
    whole_index = costs.row * requests
    return [
        "| what | figure |",
        "|---|---|",
        f"| heartbeats of {workers} workers | {workers / (LEASE_SECONDS / BEATS_IN_LEASE):.1f} a second, "
        f"{beats:.3%} of the time of the metadata server |",
        f"| an index with a row for each request | {whole_index:.0f} s each time it is written; after every request: "
        f"{whole_index * requests / 2 / 86_400:,.0f} days |",
        f"| handing in the list | {costs.submit * requests:.0f} s, once |",
        *(
            f"| {few:,} requests of at most 300 s, {name} | {outcome.hours:.2f} h, utilisation {outcome.busy:.1%} |"
            for name, outcome in orders.items()
        ),
    ]


def _cell(outcome: Outcome) -> str:
    return f"{outcome.hours:.1f} h, {outcome.busy:.1%}, {outcome.server:.1%}"


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
