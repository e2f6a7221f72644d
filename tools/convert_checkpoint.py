"""Convert an official checkpoint to the diffusers layout, with its .pth files as safetensors; dtypes are kept.

    python tools/convert_checkpoint.py ./Wan2.2-T2V-A14B ./Wan2.2-T2V-A14B-diffusers

Needs the result's size in free disk space and little memory. Stopped, it continues when it is run again.
Exit codes: 0; 2 for what cannot be converted (one sentence); 1 for everything else that fails.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput, WanError
from wan.loading.convert import convert, remaining
from wan.loading.convert_plan import plan_conversion
from wan.loading.doctor import format_bytes
from wan.loading.problems import quoted
from wan.loading.progress import silence_loading_bars


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"convert_checkpoint: {message}", file=sys.stderr)
        raise SystemExit(2)


def main(argv: Sequence[str]) -> int:
    """Exit codes: see above."""
    given = _parse(argv)
    try:
        _convert(given.source, given.destination, given.task)
    except InvalidInput as error:
        print(f"convert_checkpoint: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"convert_checkpoint: failed: {error}; the same command continues", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("convert_checkpoint: interrupted; the same command continues", file=sys.stderr)
        return 1
    return 0


def _convert(source: Path, destination: Path, task: str | None) -> None:
    silence_loading_bars()
    conversion = plan_conversion(source, WAN_CONFIGS[task] if task else None)
    name = conversion.checkpoint.config.name
    left = remaining(conversion, destination)
    total, size = len(conversion.weights), sum(file.byte_count for file in left)
    print(f"{source} as {name}: {len(left)} of {total} weight files to write, {format_bytes(size)}, to {destination}")
    with tqdm(total=size, unit="B", unit_scale=True, disable=not size) as bar:
        convert(conversion, destination, bar.update)
    print(f"verified; python generate.py --task {name} --ckpt_dir {quoted(destination)} --prompt ...")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SRC", type=Path, help="checkpoint folder in the official layout")
    parser.add_argument("destination", metavar="DST", type=Path, help="folder to make, or to complete")
    parser.add_argument("--task", choices=sorted(WAN_CONFIGS), help="default: the task that the model fits")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
