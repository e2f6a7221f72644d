"""``wan doctor``: what a checkpoint folder is, which tasks it serves, all that is wrong with it and what mends it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan.commands import command_line
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.flags import Parser, make_parser
from wan.loading.file_doctor import examine_file

if TYPE_CHECKING:
    from wan.loading.doctor import Diagnosis

DESCRIPTION = f"""\
Check a checkpoint folder in seconds: what it is, which tasks it serves, all that is wrong and what mends it.

    {command_line("doctor")} --ckpt_dir ./Wan2.2-T2V-A14B --task t2v-A14B

Reads config files, tokenizer, headers and the small tensors (for NaN and infinity), and some KiB of every weight file
of two experts; with --read_all every number of every weight file. Exit code 0: healthy; 2: problems. Of one file (a
LoRA, a GGUF file, a single safetensors file) it says what it is, which tasks it fits, and how it is given.
"""


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 healthy, 2 problems or bad input."""
    given = build_parser().parse_args(argv)
    if report := examine_file(given.ckpt_dir):
        print("\n".join(report.lines))
        return 0 if report.is_usable else 2
    from wan.loading.doctor import diagnose  # takes seconds that --help need not wait for

    try:
        config = WAN_CONFIGS[given.task] if given.task else None
        diagnosis = diagnose(given.ckpt_dir, config, read_all=given.read_all)
    except OSError as error:
        raise InvalidInput(f"--ckpt_dir {given.ckpt_dir} cannot be read ({error}); check its permissions") from error
    print_diagnosis(diagnosis)
    return 2 if diagnosis.problems else 0


def print_diagnosis(diagnosis: "Diagnosis") -> None:
    """The report, for this command and for those that end with it."""
    from wan.loading.doctor import format_bytes

    kind = f"{diagnosis.layout} layout" if diagnosis.layout else "no checkpoint"
    size = f"{diagnosis.weight_files} weight files, {format_bytes(diagnosis.weight_bytes)}"
    print(f"{diagnosis.ckpt_dir}: {kind}; {size}; {format_bytes(diagnosis.free_bytes)} free on its disk")
    if diagnosis.tasks:
        print(f"the model serves --task {' or '.join(diagnosis.tasks)}")
    if not diagnosis.problems:
        command = command_line("generate", "--task", diagnosis.config.name, "--ckpt_dir", diagnosis.ckpt_dir)
        print(f"healthy: {command} --prompt ...")
        return
    count = len(diagnosis.problems)
    print(f"{count} problem{'s' if count > 1 else ''}, checked for --task {diagnosis.config.name}:")
    for number, problem in enumerate(diagnosis.problems, start=1):
        print(f"{number:3}. {problem.sentence}")
        print(f"     -> {diagnosis.command(problem)}")


def build_parser() -> Parser:
    parser = make_parser("doctor", DESCRIPTION)
    parser.add_argument(
        "--ckpt_dir", type=Path, required=True, help="checkpoint folder, of either layout, or one weight file"
    )
    parser.add_argument("--task", choices=sorted(WAN_CONFIGS), help="default: the task that the model fits")
    parser.add_argument("--read_all", action="store_true", help="look for NaN and infinity in all weights (minutes)")
    return parser
