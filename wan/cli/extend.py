"""``wan extend``: what a language model makes of a prompt, without making a video."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from wan.commands import command_line
from wan.configs import WAN_CONFIGS
from wan.extension.extend import extend
from wan.extension.task import ExtensionTask, extension_task
from wan.flags import Groups, Parser, add_flags, field_names, make_parser, values_of
from wan.image_input import image_path, open_picture
from wan.limits import resolve_seed
from wan.machine import Machine
from wan.memory import refuse_large_language_model
from wan.prompt_extension import PromptExtension
from wan.texts import checked_prompt

_ASKED_ANYWAY = ("use_prompt_extend", "prompt_extend_fallback")
_TEXT_TASK, _IMAGE_TASK = "t2v-A14B", "i2v-A14B"
DESCRIPTION = f"""\
Show what a language model makes of a prompt. Generating with --use_prompt_extend does the same first.

    {command_line("extend", "a cat on a windowsill", "--prompt_extend_target_lang", "en")}
    {command_line("extend", "she turns around", "--image", "PICTURE.png", "--prompt_extend_method", "dashscope")}

The extended prompt is printed on standard output, everything else on standard error. On this machine the same seed
gives the same extension.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    seed = resolve_seed(args.seed)
    task = task_of(args)
    if args.dry_run:
        for line in task.lines():
            print(line)
        return
    made = extend(task, seed=seed, say=_said, device=args.device)
    if args.json:
        print(json.dumps(made.record(), ensure_ascii=False, indent=2))
        return
    _said(f"seed {seed}")
    print(made.extended)


def build_parser() -> Parser:
    parser = make_parser("extend", DESCRIPTION, usage="%(prog)s PROMPT [flags]")
    parser.add_argument("prompt", metavar="PROMPT", help="the idea to write out")
    groups = Groups(parser)
    add_flags(groups, PromptExtension, leave_out=_ASKED_ANYWAY)
    group = groups["what it is for"]
    group.add_argument("--task", choices=sorted(WAN_CONFIGS), help="default: t2v-A14B, with --image i2v-A14B")
    group.add_argument("--image", type=Path, metavar="FILE", help="picture that the video starts from, for the model")
    group.add_argument(
        "--base_seed",
        "--seed",
        dest="seed",
        type=int,
        default=-1,
        metavar="SEED",
        help="the same seed gives the same extension on this machine; -1: a random one (%(default)s)",
    )
    group.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (auto)")
    group.add_argument("--json", action="store_true", help="print original and extension with their settings as JSON")
    group.add_argument("--dry_run", action="store_true", help="say what would be done and sent, and do nothing")
    return parser


def task_of(args: argparse.Namespace) -> ExtensionTask:
    """What is to be extended; ``InvalidInput`` for what cannot be, before anything is loaded or sent."""
    asked = PromptExtension(
        use_prompt_extend=True,
        **{
            name: values_of(PromptExtension, args)[name]
            for name in field_names(PromptExtension)
            if name not in _ASKED_ANYWAY
        },
    )
    config = WAN_CONFIGS[args.task or (_TEXT_TASK if args.image is None else _IMAGE_TASK)]
    path = image_path(config, args.image)
    task = extension_task(
        asked,
        prompt=checked_prompt(args.prompt, name="PROMPT"),
        is_image_task=config.is_image_task,
        picture=open_picture(path).image if path else None,
    )
    if task.local:
        refuse_large_language_model(task.local.weight_bytes, Machine(device=args.device))
    return task


def _said(line: str) -> None:
    print(line, file=sys.stderr)
