"""The flags that measuring tools share with generate.py, and from them validated options, prompts and seeds."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput, WanError
from wan.options import (
    Options,
    Parser,
    add_machine_flags,
    add_sampling_flags,
    add_shortcut_flags,
    build_parser,
    options_from,
)

DEMO_TASK, OFFICIAL_TASK = "t2v-demo", "t2v-A14B"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One prompt with one seed."""

    prompt: str
    seed: int


def run_tool(name: str, main: Callable[[Sequence[str]], None]) -> int:
    """Run a tool's ``main``: 0, 2 with one sentence for what a user asked for and cannot have, 1 for other failures."""
    try:
        main(sys.argv[1:])
    except InvalidInput as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"{name}: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; what was finished stays on disk", file=sys.stderr)
        return 1
    return 0


def parse_flags(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """The flags, with the task filled in: commands that name only a checkpoint folder are about the official model."""
    args = parser.parse_args(argv)
    if args.task is None:
        args.task = OFFICIAL_TASK if args.ckpt_dir else DEMO_TASK
        print(f"no --task given: {args.task}")
    return args


def tool_parser(name: str, description: str | None) -> Parser:
    """A parser that reports mistakes as generate.py does."""
    return Parser(
        prog=f"tools/{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        conflict_handler="resolve",  # a tool may give a shared flag another form
    )


def add_request_flags(group: argparse._ArgumentGroup, *, several: bool = True) -> None:
    """Task, checkpoint, prompts and seeds."""
    group.add_argument(
        "--task",
        choices=sorted(WAN_CONFIGS),
        help=f"model and task; default: {DEMO_TASK}, or {OFFICIAL_TASK} when a checkpoint folder is given",
    )
    group.add_argument(
        "--ckpt_dir", "--model_path", dest="ckpt_dir", help="checkpoint folder (t2v-demo brings its own)"
    )
    more = "+" if several else None
    kind = "prompts" if several else "prompt"
    group.add_argument("--prompt", nargs=more, help=f"{kind}; default: the task's example prompt")
    if several:
        group.add_argument("--prompt_file", help="a text file with one prompt per line; # starts a comment line")
    group.add_argument("--negative_prompt", default="", help="empty: the task's default negative prompt")
    group.add_argument(
        "--seed",
        "--base_seed",
        dest="seed",
        type=int,
        nargs=more,
        default=[0] if several else 0,
        help="random seeds, each with every prompt (0)" if several else "random seed (%(default)s)",
    )
    group.add_argument("--image", help="image that the video starts from (i2v tasks, ti2v-5B)")
    group.add_argument("--size", help="W*H in pixels; default: the task's")
    group.add_argument(
        "--frame_num", "--num_frames", dest="frame_num", type=int, help="pixel frames, 4n+1; default: the task's"
    )


def add_common_flags(parser: argparse.ArgumentParser, *, output_dir: str) -> None:
    """Sampling, shortcuts, machine and output."""
    add_sampling_flags(parser.add_argument_group("sampling"))
    add_shortcut_flags(parser.add_argument_group("shortcuts"))
    add_machine_flags(parser.add_argument_group("machine"))
    add_output_flags(parser.add_argument_group("output"), output_dir=output_dir)


def add_output_flags(group: argparse._ArgumentGroup, *, output_dir: str) -> None:
    """Where results go."""
    group.add_argument(
        "--output_dir",
        default=output_dir,
        help="folder for the results (%(default)s); when it holds something, %(default)s-2, -3, ... is used",
    )
    group.add_argument("--overwrite", action="store_true", help="write into --output_dir itself, replacing results")
    group.add_argument("--quiet", action="store_true", help="no progress bars")


def make_options(args: argparse.Namespace, *, prompt: str | None) -> Options:
    """The tool's flags as generate.py's ``Options``, refused for the same reasons in the same words.

    The demo model is small enough to stay in memory, which spares reading it again for every run.
    """
    own: dict[str, Any] = {"prompt": prompt, "base_seed": 0}
    if args.offload_model is None and args.offload is None and WAN_CONFIGS[args.task].bundled_checkpoint:
        own["offload_model"] = False
    return options_from(argparse.Namespace(**(vars(build_parser().parse_args([])) | vars(args) | own)))


def cases_from(args: argparse.Namespace) -> list[Case]:
    """Every prompt with every seed; InvalidInput for a prompt file that cannot be read or a negative seed."""
    prompts = list(args.prompt or []) + (read_prompts(Path(args.prompt_file)) if args.prompt_file else [])
    if not prompts:
        prompts = [WAN_CONFIGS[args.task].example_prompt]
    seeds = args.seed if isinstance(args.seed, list) else [args.seed]
    for seed in seeds:
        if seed < 0:
            raise InvalidInput(f"--seed {seed} must be 0 or more: both sides of a comparison need the same noise")
    return [Case(prompt=prompt, seed=seed) for prompt in prompts for seed in seeds]


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file, one per line; empty lines and lines that start with # are left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--prompt_file {path} cannot be read as UTF-8 text ({error}); give a text file") from error
    prompts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not prompts:
        raise InvalidInput(f"--prompt_file {path} holds no prompt; write one per line")
    return prompts
