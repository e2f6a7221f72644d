"""Trains the demo model from nothing to a diffusers pipeline folder; every stage resumes where a kill left it.

    python tools/train_demo_model.py --work_dir training_runs/demo --export checkpoints/t2v-demo

Stages: vae, latents, base (text encoder and one denoiser for all noise levels), experts (two copies continued on their
own noise levels, in parallel processes on a CPU), decoder (the VAE's once more, the encoder frozen), export. A stage
whose budget is used up is skipped, so raising a budget and running the same command again continues it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from door import run_tool, tool_parser
from demo_model.export import export_pipeline
from demo_model.latents import encode_latents
from demo_model.store import Budget, Log
from demo_model.train_denoiser import RECIPES, DenoiserSettings, train_denoiser
from demo_model.train_vae import VAE_RECIPES, VaeSettings, train_vae
from wan.errors import InvalidInput
from wan.flags import Parser

NAME = "train_demo_model.py"
STAGES = ("vae", "latents", "base", "experts", "decoder", "export")
PARTS = ("expert_high", "expert_low")
DEFAULT_STEPS = {"vae": 4_400, "base": 2_000, "expert_high": 16_900, "expert_low": 12_700, "decoder": 4_600}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The command line, checked."""

    work_dir: Path
    export: Path
    stages: tuple[str, ...]
    budgets: dict[str, Budget]
    clips: int
    device: torch.device
    threads: int
    command: tuple[str, ...]


def main(arguments: Sequence[str]) -> None:
    """Runs the chosen stages in order."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    log = Log(options.work_dir / "log.jsonl")
    for stage in options.stages:
        try:
            run_stage(stage, options, log)
        except FileNotFoundError as error:
            raise InvalidInput(str(error)) from error  # a stage that needs an earlier one


def run_stage(stage: str, options: Options, log: Log) -> None:
    """Runs one stage to the end of its budget."""
    if stage in VAE_RECIPES:
        vae_settings = VaeSettings(budget=options.budgets[stage], device=options.device)
        train_vae(VAE_RECIPES[stage], vae_settings, work_dir=options.work_dir, log=log)
    elif stage == "latents":
        encode_latents(work_dir=options.work_dir, clips=options.clips, device=options.device, log=log)
    elif stage == "export":
        export_pipeline(work_dir=options.work_dir, target=options.export, log=log)
    elif stage == "experts":
        _run_experts(options)
    else:
        settings = DenoiserSettings(budget=options.budgets[stage], device=options.device)
        train_denoiser(RECIPES[stage], settings, work_dir=options.work_dir, log=log)


def _run_experts(options: Options) -> None:
    """Both experts at once, one process and half of the threads each (one after the other on a GPU)."""
    threads = max(1, options.threads // 2)
    commands = [[*options.command, "--stages", part, "--threads", str(threads)] for part in PARTS]
    processes = []
    for command in commands:
        processes.append(subprocess.Popen(command))
        if options.device.type != "cpu":
            processes[-1].wait()
    for process in processes:
        if process.wait():
            raise SystemExit(process.returncode)


def parse(arguments: Sequence[str]) -> Options:
    """The checked command line; a mistake is one sentence on stderr and exit code 2."""
    parser = _parser()
    given = parser.parse_args(arguments)
    stages = tuple(part.strip() for part in given.stages.split(",") if part.strip())
    for stage in stages:
        if stage not in STAGES + PARTS:
            parser.error(f"--stages: '{stage}' is no stage; known stages are {', '.join(STAGES + PARTS)}")
    if given.clips < 1 or given.threads < 1:
        parser.error("--clips and --threads must be at least 1")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this PyTorch sees no CUDA device; use --device cpu")
    if given.work_dir.is_file() or given.export.is_file():
        parser.error("--work_dir and --export must be folders, not files")
    return Options(
        work_dir=given.work_dir,
        export=given.export,
        stages=stages,
        budgets={name: _budget(parser, given, name) for name in DEFAULT_STEPS},
        clips=given.clips,
        device=torch.device(given.device),
        threads=given.threads,
        command=(sys.executable, str(Path(__file__).resolve()), *arguments),
    )


def _budget(parser: Parser, given: argparse.Namespace, stage: str) -> Budget:
    minutes, steps = getattr(given, f"{stage}_minutes"), getattr(given, f"{stage}_steps")
    if minutes is not None and steps is not None:
        parser.error(f"give either --{stage}_minutes or --{stage}_steps, not both")
    if (minutes is not None and not minutes > 0) or (steps is not None and steps < 1):
        parser.error(f"the budget of '{stage}' must be greater than 0")
    if minutes is not None:
        return Budget(minutes=minutes)
    return Budget(steps=DEFAULT_STEPS[stage] if steps is None else steps)


def _parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--work_dir", type=Path, required=True, help="folder for states, latents and the log")
    parser.add_argument("--export", type=Path, default=Path("checkpoints/t2v-demo"), help="where the pipeline goes")
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated, in order (default: all)")
    for stage, steps in DEFAULT_STEPS.items():
        parser.add_argument(f"--{stage}_steps", type=int, help=f"training steps, over all runs (default {steps})")
        parser.add_argument(f"--{stage}_minutes", type=float, help="training time instead of steps")
    parser.add_argument("--clips", type=int, default=24576, help="training clips to encode (default %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="CPU threads (default %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main, interrupted="the same command continues"))
