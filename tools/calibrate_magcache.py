"""Measure MagCache's curve of a checkpoint: how the size of the blocks' residual changes from step to step.

    python tools/calibrate_magcache.py                                     the demo model's, on its training prompts
    python tools/calibrate_magcache.py --task t2v-A14B --ckpt_dir DIR --prompt_file prompts.txt --retention 0.4

For every prompt the plain plan is run once. The ratio of a step is the mean over tokens of |residual| / |residual of
the step before|, averaged over the prompts, for each guidance branch. The curve replaces that of the same task in the
file that --cache mag reads.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from door import run_tool, tool_parser
from wan.configs import parse_size
from wan.demo_world.words import MOTION_NAMES, training_combinations
from wan.errors import InvalidInput
from wan.flags import Parser
from wan.instruments.flags import DEMO_TASK, read_prompts
from wan.job import Job, prepare
from wan.limits import seed
from wan.machine import Machine
from wan.models.block_cache import CachedBlocks, block_cache
from wan.request import Request
from wan.runs import write_text_atomic
from wan.sampling.guidance import Branch
from wan.sampling.mag_curves import CURVES_FILE
from wan.sampling.plan import Expert, Plan, Step
from wan.session import Session

NAME = "calibrate_magcache.py"
PROMPTS_PER_MOTION = 4


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    if not 0.0 <= args.retention <= 1.0:
        raise InvalidInput(f"--retention {args.retention:g} must be from 0 to 1")
    job = job_of(args)
    ratios = measure(job, prompts_of(args), seed=args.seed)
    write_curve(args.output, job, ratios, retention=args.retention, command=f"tools/{NAME} {' '.join(argv)}".strip())
    print(f"wrote the curve of {job.settings.curve} into {args.output}")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--task", default=DEMO_TASK, help="(%(default)s)")
    parser.add_argument("--ckpt_dir", type=Path, help="checkpoint folder (t2v-demo brings its own)")
    parser.add_argument("--image", type=Path, help="for tasks that start from an image")
    parser.add_argument("--size", type=parse_size, help="W*H; default: the task's")
    parser.add_argument("--frame_num", type=int, help="pixel frames; default: the task's")
    parser.add_argument("--prompt_file", type=Path, help="one prompt per line; default: training prompts of t2v-demo")
    parser.add_argument("--seed", type=seed, default=0, help="of the first prompt; every further one has the next (0)")
    parser.add_argument(
        "--retention", type=float, default=0.2, help="share of an expert's first steps that stay computed (0.2)"
    )
    parser.add_argument("--output", type=Path, default=CURVES_FILE, help="the file of curves (the package's own)")
    return parser


def job_of(args: Namespace) -> Job:
    """The plain run, both experts kept in memory."""
    machine = Machine(offload="none") if args.task == DEMO_TASK else Machine()
    request = Request(
        task=args.task,
        ckpt_dir=args.ckpt_dir,
        image=args.image,
        size=args.size,
        frame_num=args.frame_num,
        prompt="",
        machine=machine,
    )
    return prepare(request)


def prompts_of(args: Namespace) -> list[str]:
    """The prompts of the file, or the first few training prompts of every motion of the demo model."""
    if args.prompt_file:
        return read_prompts(args.prompt_file)
    if args.task != DEMO_TASK:
        raise InvalidInput(f"--task {args.task} needs --prompt_file with prompts like those that it will be used for")
    known = training_combinations()
    of_motion = ([c.caption() for c in known if c.motion == motion] for motion in MOTION_NAMES)
    # spread over shapes and colours, which stand in blocks
    spread = (captions[:: len(captions) // PROMPTS_PER_MOTION] for captions in of_motion)
    return [caption for captions in spread for caption in captions[:PROMPTS_PER_MOTION]]


def measure(job: Job, prompts: Sequence[str], *, seed: int) -> dict[Branch, list[float]]:
    """The mean ratio of every step, for both branches."""
    session = Session(job, show_progress=False)
    found: list[dict[tuple[int, Branch], float]] = []
    for number, prompt in enumerate(tqdm(prompts, desc="calibrating", unit="clip")):
        ratios: dict[tuple[int, Branch], float] = {}
        cache = block_cache(lambda blocks, ratios=ratios: ResidualRatios(blocks, ratios))  # type: ignore[misc]
        session.sample(job.plan, prompt=prompt, seed=seed + number, cache=cache)
        found.append(ratios)
    return {branch: [_mean(found, step, branch) for step in job.plan.steps] for branch in Branch}


class ResidualRatios(CachedBlocks):
    """Computes every block, and writes the ratio of each step and branch into ``ratios``."""

    def __init__(self, blocks: nn.ModuleList, ratios: dict[tuple[int, Branch], float]) -> None:
        super().__init__(blocks)
        self._ratios = ratios
        self._sizes: dict[Branch, Tensor] = {}

    def cached_forward(
        self, step: Step, branches: tuple[Branch, ...], hidden_states: Tensor, conditions: tuple
    ) -> Tensor:
        output = self.run(self._blocks, hidden_states, conditions)
        parts = (output - hidden_states).float().norm(dim=-1).chunk(len(branches))
        for branch, size in zip(branches, parts, strict=True):
            before = self._sizes.get(branch, size)
            self._ratios[step.index, branch] = float((size / before.clamp_min(torch.finfo(size.dtype).tiny)).mean())
            self._sizes[branch] = size
        return output


def write_curve(path: Path, job: Job, ratios: dict[Branch, list[float]], *, retention: float, command: str) -> None:
    """Put the curve into the file, in the place of an older one of the same task."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["curves"][job.settings.curve] = curve_record(job.plan, ratios, retention=retention, command=command)
    write_text_atomic(path, _compact(content))


def curve_record(plan: Plan, ratios: dict[Branch, list[float]], *, retention: float, command: str) -> dict[str, Any]:
    """One curve as the file has it."""
    experts = [expert for expert in Expert if any(step.expert is expert for step in plan.steps)]
    return {
        "source": f"measured: python {command}",
        "steps": len(plan.steps),
        "shift": plan.shift,
        "high_noise_steps": sum(step.expert is Expert.HIGH_NOISE for step in plan.steps),
        "retention": retention,
        "skipping_experts": [expert.value for expert in experts],
        **{branch.value: [round(ratio, 5) for ratio in ratios[branch]] for branch in Branch},
    }


def _mean(found: Sequence[dict[tuple[int, Branch], float]], step: Step, branch: Branch) -> float:
    return sum(ratios.get((step.index, branch), 1.0) for ratios in found) / len(found)


def _compact(content: dict[str, Any]) -> str:
    """JSON with one line for each curve's entry."""
    curves = {
        name: "{\n" + ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in curve.items()) + "\n  }"
        for name, curve in content["curves"].items()
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {text}" for name, text in curves.items())
    return f'{{\n "about": {json.dumps(content["about"])},\n "curves": {{\n{lines}\n }}\n}}\n'


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
