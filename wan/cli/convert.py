"""``wan convert``: an official checkpoint in the diffusers layout, with its .pth files as safetensors."""

from collections.abc import Sequence
from pathlib import Path

from wan.commands import command_line
from wan.configs import WAN_CONFIGS
from wan.flags import Parser, make_parser
from wan.runs.writable import refuse_unwritable_folder

DESCRIPTION = f"""\
Convert an official checkpoint to the diffusers layout, with its .pth files as safetensors; dtypes are kept.

    {command_line("convert")} ./Wan2.2-T2V-A14B ./Wan2.2-T2V-A14B-diffusers

Needs the result's size in free disk space and little memory. Stopped, it continues when it is run again.
Exit codes: 0; 2 for what cannot be converted (one sentence); 1 for everything else that fails.
"""


def main(argv: Sequence[str]) -> None:
    given = build_parser().parse_args(argv)
    refuse_unwritable_folder(given.destination, flag="DST")
    # imported here: torch and the model libraries take seconds that --help need not wait for
    from tqdm import tqdm

    from wan.loading.convert import convert, remaining
    from wan.loading.convert_plan import plan_conversion
    from wan.loading.doctor import format_bytes
    from wan.loading.models import silence_loading_bars

    silence_loading_bars()
    source, destination = given.source, given.destination
    conversion = plan_conversion(source, WAN_CONFIGS[given.task] if given.task else None)
    name = conversion.checkpoint.config.name
    left = remaining(conversion, destination)
    total, size = len(conversion.weights), sum(file.byte_count for file in left)
    print(f"{source} as {name}: {len(left)} of {total} weight files to write, {format_bytes(size)}, to {destination}")
    with tqdm(total=size, unit="B", unit_scale=True, disable=not size) as bar:
        convert(conversion, destination, bar.update)
    print(f"verified; {command_line('generate', '--task', name, '--ckpt_dir', destination)} --prompt ...")


def build_parser() -> Parser:
    parser = make_parser("convert", DESCRIPTION, usage="%(prog)s SRC DST [flags]")
    parser.add_argument("source", metavar="SRC", type=Path, help="checkpoint folder in the official layout")
    parser.add_argument("destination", metavar="DST", type=Path, help="folder to make, or to complete")
    parser.add_argument("--task", choices=sorted(WAN_CONFIGS), help="default: the task that the model fits")
    return parser
