"""The flags that measuring commands share with ``generate``, and from them typed requests, prompts and seeds."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.flags import Groups, field_names
from wan.job import Job, prepare
from wan.limits import check_seed
from wan.prompt_extension import PromptExtension
from wan.request import OUTPUT, WHAT, add_request_flags, request_of
from wan.texts import checked_prompt, prompts_from_file

DEMO_TASK = "t2v-demo"
_OWN_FORM = ("ckpt_dir", "prompt", "seed", "frame_num", "output_dir", "overwrite")
_NOT_MEASURED = ("save_file", "preview", "preview_every", "enable_debug", "debug_output_dir", "debug_dtype")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One prompt with one seed."""

    prompt: str
    seed: int


def add_measuring_flags(groups: Groups, *, output_dir: str, several: bool = True) -> None:
    """A request's flags, with several prompts and seeds where the command takes them, and a folder for results."""
    # what is measured is the prompt that stands there: a language model between would be another source of difference
    add_request_flags(groups, leave_out=(*_OWN_FORM, *_NOT_MEASURED, *field_names(PromptExtension)))
    what = groups[WHAT]
    what.add_argument(
        "--ckpt_dir", "--model_path", dest="ckpt_dir", type=Path, help="checkpoint folder (t2v-demo brings its own)"
    )
    shown = "what to show; default: the task's example prompt"
    if several:
        what.add_argument("--prompt", dest="prompts", nargs="+", default=[], metavar="PROMPT", help=shown)
        what.add_argument("--prompt_file", type=Path, help="a text file with one prompt per line; # starts a comment")
        what.add_argument(
            "--seed",
            "--base_seed",
            dest="seeds",
            type=int,
            nargs="+",
            default=[0],
            metavar="SEED",
            help="random seeds, each with every prompt (0)",
        )
    else:
        what.add_argument("--prompt", help=shown)
        what.add_argument("--seed", "--base_seed", dest="seed", type=int, default=0, help="random seed (%(default)s)")
    what.add_argument(
        "--frame_num", "--num_frames", dest="frame_num", type=int, help="pixel frames, 4n+1; default: the task's"
    )
    add_output_flags(groups, output_dir=output_dir)


def add_output_flags(groups: Groups, *, output_dir: str) -> None:
    """Where results go."""
    group = groups[OUTPUT]
    group.add_argument(
        "--output_dir",
        type=Path,
        default=Path(output_dir),
        help="folder for the results (%(default)s); when it holds something, %(default)s-2, -3, ... is used",
    )
    group.add_argument("--overwrite", action="store_true", help="write into --output_dir itself, replacing results")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def measured_job(args: argparse.Namespace, **changes: Any) -> Job:
    """The parsed flags as a job, of the demo model where neither a task nor a checkpoint is given.

    ``changes`` are fields of the request that the command sets itself.
    """
    return prepare(replace(request_of(args), **changes), default_task=DEMO_TASK)


def first_of_several(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of the first of several prompts and seeds, for ``measured_job``."""
    prompts = _prompts(args)
    return {"prompt": prompts[0] if prompts else None, "seed": (args.seeds or [0])[0]}


def cases_from(args: argparse.Namespace, job: Job) -> list[Case]:
    """Every prompt with every seed; InvalidInput for a prompt file that cannot be read or a negative seed."""
    seeds = args.seeds or [0]
    for seed in seeds:
        if seed < 0:
            raise InvalidInput(f"--seed {seed} must be 0 or more: both sides of a comparison need the same noise")
        check_seed(seed, name="--seed")
    return [Case(prompt=prompt, seed=seed) for prompt in _prompts(args) or [job.prompt] for seed in seeds]


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file, one per line; empty lines and lines that start with # are left out."""
    prompts = prompts_from_file(path, name="--prompt_file")
    if not prompts:
        raise InvalidInput(f"--prompt_file {path} holds no prompt; write one per line")
    return prompts


def _prompts(args: argparse.Namespace) -> list[str]:
    given = [checked_prompt(prompt, name="--prompt") for prompt in args.prompts]
    return given + (read_prompts(args.prompt_file) if args.prompt_file else [])
