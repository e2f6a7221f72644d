"""Measure what one more evaluation of the network is worth to a fitted step: all of it, one branch, or a part of it.

    python tools/measure_evaluations.py                      a table in docs/planner.md's form
    python tools/measure_evaluations.py --update_docs        write it into the page

A plan has evaluated the network at some steps of recorded plain runs, and wants the state at a later one. The table
says how near the best combination of what it knows comes to that state (signal to error, dB, mean over the clips), and
how near with one evaluation more in between: of both branches, of one of them, of both with half of the blocks (the
others add what they added at the last evaluated step), or with weights for each band of frequencies instead.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from door import run_tool, tool_parser
from claims.documents import update_document
from claims.sample import demo_job
from wan.commands import SOURCE_DIR
from wan.flags import Parser
from wan.models.block_cache import CachedBlocks, block_cache
from wan.models.network_cache import CacheNetwork, uncached
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan, Step
from wan.session import Session
from wan.tune.clips import TUNING_SEED, demo_clips
from wan.tune.fitting import least_squares
from wan.tune.lockstep import ClipBatch
from wan.tune.recording import Recording, record
from wan.tune.search import latent_quality

NAME = "measure_evaluations.py"
PAGES = tuple(SOURCE_DIR / "docs" / f"planner{language}.md" for language in ("", ".zh"))
CASES: tuple[tuple[tuple[int, ...], int, int], ...] = (
    ((0, 5), 7, 10),
    ((0, 5, 10), 12, 13),
    ((0, 5, 10, 13), 15, 16),
    ((0, 5, 10, 13, 16), 17, 18),
)
"""(steps evaluated, the step in between, the step whose state is wanted), counted from 0 on the plain grid."""
BANDS = 3
Added = dict[tuple[tuple[Branch, ...], int], Tensor]
"""What a block added (B, tokens, D), by branches and number."""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    table = measure(args.clips, args.work_dir)
    print(table)
    if args.update_docs:
        for page in PAGES:
            update_document(page, table)
            print(f"updated {page}")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--clips", type=int, default=18, help="training captions, each with its own seed (%(default)s)")
    parser.add_argument(
        "--work_dir", type=Path, default=Path("tuning") / NAME.removesuffix(".py"), help="(%(default)s)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument(
        "--update_docs", action="store_true", help="write the table into docs/planner.md and its Chinese twin"
    )
    return parser


def measure(clips: int, folder: Path) -> str:
    """The table, in Markdown."""
    job = demo_job()
    session = Session(job, show_progress=False)
    batch = ClipBatch.of(session, demo_clips(clips, draw=TUNING_SEED), job.plan, at_once=clips)
    with tqdm(total=len(job.plan.steps), desc="recording", unit="step") as bar:
        recording = record(batch, job.plan, folder / f"{clips}-clips.safetensors", tick=bar.update)
    rows = [_row(Bench(batch, job.plan, recording), *case) for case in tqdm(CASES, desc="measuring", unit="case")]
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(row.values())} |" for row in rows]
    return "\n".join([f"Signal to error in dB, mean over {clips} clips.", "", *lines])


def _row(bench: "Bench", known: tuple[int, ...], extra: int, wanted: int) -> dict[str, str]:
    base = bench.known(known)
    state = bench.combined(base, bench.recording.states[extra])
    target = bench.recording.states[wanted]
    whole = bench.evaluated(extra, state)
    half = bench.blocks // 2
    halves = {
        "first half of the blocks": bench.evaluated_in_part(extra, state, at=known[-1], computed=range(half)),
        "second half of the blocks": bench.evaluated_in_part(
            extra, state, at=known[-1], computed=range(half, bench.blocks)
        ),
    }
    found: dict[str, float | None] = {
        "nothing more": bench.reached(base, target),
        "both branches": bench.reached([*base, *whole.values()], target),
        "conditional alone": bench.reached([*base, whole[Branch.COND]], target),
        "unconditional alone": bench.reached([*base, whole[Branch.UNCOND]], target),
        **{
            name: None if part is None else bench.reached([*base, *part.values()], target)
            for name, part in halves.items()
        },
        f"weights for each of {BANDS}x{BANDS} bands": bench.reached(base, target, bands=True),
    }
    heading = {"evaluated at": ", ".join(map(str, known)), "one more at": str(extra), "state wanted at": str(wanted)}
    return heading | {name: "other expert" if value is None else f"{value:.1f}" for name, value in found.items()}


class Bench:
    """Recorded runs and the networks that made them."""

    def __init__(self, batch: ClipBatch, plan: Plan, recording: Recording) -> None:
        self._batch = batch
        self._plan = plan
        self.recording = recording
        self.blocks = batch.session.checkpoint.denoiser_size.num_layers

    def known(self, steps: Sequence[int]) -> list[Tensor]:
        """What a plan that evaluated these steps may combine: the noise and the denoised estimates."""
        estimates = [one for step in steps for one in (self.recording.cond[step], self.recording.uncond[step])]
        return [self.recording.states[0], *estimates]

    def combined(self, features: Sequence[Tensor], target: Tensor) -> Tensor:
        """The combination that comes nearest to a state."""
        weights = least_squares(features, target)
        return torch.stack([w * feature for w, feature in zip(weights, features, strict=True)]).sum(0)

    def reached(self, features: Sequence[Tensor], target: Tensor, *, bands: bool = False) -> float:
        """How near it comes, in dB; with ``bands`` every band of frequencies has weights of its own."""
        parts = [(features, target)]
        if bands:
            split = [list(_bands(one)) for one in (*features, target)]
            parts = [(list(band[:-1]), band[-1]) for band in zip(*split, strict=True)]
        made = torch.stack([self.combined(own, wanted) for own, wanted in parts]).sum(0)
        quality = latent_quality(made, target)
        return sum(quality) / len(quality)

    def evaluated(self, index: int, state: Tensor, *, cache: CacheNetwork = uncached) -> dict[Branch, Tensor]:
        """The denoised estimates of both branches at a step, from a state of the plan's own."""
        step = self._plan.steps[index]
        seen = LastVelocities()
        one_step = replace(self._plan, steps=(replace(step, index=0),))
        self._batch.run(one_step, start=state, cache=cache, observers=[seen])
        return {branch: state - step.sigma * velocity for branch, velocity in seen.velocities.items()}

    def evaluated_in_part(self, index: int, state: Tensor, *, at: int, computed: range) -> dict[Branch, Tensor] | None:
        """The same with the ``computed`` blocks alone; the others add what they added at the evaluated step ``at``.
        None where that step belongs to the other expert."""
        if self._plan.steps[at].expert is not self._plan.steps[index].expert:
            return None
        added: Added = {}
        self.evaluated(at, self.recording.states[at], cache=block_cache(partial(SomeBlocks, added=added)))
        return self.evaluated(index, state, cache=block_cache(partial(SomeBlocks, added=added, computed=computed)))


class LastVelocities(Observer):
    """Keeps the velocities of the step that was made."""

    def __init__(self) -> None:
        self.velocities: dict[Branch, Tensor] = {}

    def on_step_end(self, event: StepEvent) -> None:
        self.velocities = event.velocities


class SomeBlocks(CachedBlocks):
    """Runs the ``computed`` blocks and lets the others add what ``added`` holds; None: runs all and fills ``added``."""

    def __init__(self, blocks: nn.ModuleList, *, added: Added, computed: range | None = None) -> None:
        super().__init__(blocks)
        self._added = added
        self._computed = computed

    def cached_forward(
        self, step: Step, branches: tuple[Branch, ...], hidden_states: Tensor, conditions: tuple
    ) -> Tensor:
        for number in range(len(self._blocks)):
            before = hidden_states
            if self._computed is None or number in self._computed:
                hidden_states = self.run(self._blocks[number : number + 1], before, conditions)
            else:
                hidden_states = before + self._added[branches, number]
            if self._computed is None:
                self._added[branches, number] = hidden_states - before
        return hidden_states


def _bands(latents: Tensor) -> Iterator[Tensor]:
    """Parts of latents (B, C, L, h, w) in ``BANDS`` bands of temporal times as many of spatial frequency; their sum is
    the whole."""
    time, rows, columns = (torch.fft.fftfreq(size) for size in latents.shape[2:])
    temporal = time.abs()[:, None, None].expand(latents.shape[2:])
    spatial = (rows[:, None].square() + columns[None, :].square()).sqrt().expand(latents.shape[2:])
    spectrum = torch.fft.fftn(latents, dim=(2, 3, 4))
    for low, high in _ranges(temporal.max()):
        for near, far in _ranges(spatial.max()):
            mask = (temporal >= low) & (temporal < high) & (spatial >= near) & (spatial < far)
            yield torch.fft.ifftn(spectrum * mask, dim=(2, 3, 4)).real


def _ranges(highest: Tensor) -> list[tuple[float, float]]:
    edges = torch.linspace(0, float(highest) * 1.001, BANDS + 1).tolist()
    return list(pairwise(edges))


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
