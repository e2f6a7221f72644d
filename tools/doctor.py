"""Check a checkpoint directory in seconds: what it is, which tasks it serves, all that is wrong and what mends it.

    python tools/doctor.py --ckpt_dir ./Wan2.2-T2V-A14B --task t2v-A14B

Reads config files and headers, and some KiB of every weight file of two experts. Exit code 0: healthy; 2: problems.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from wan.configs import WAN_CONFIGS
from wan.loading.doctor import Diagnosis, diagnose, format_bytes
from wan.loading.problems import quoted


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"doctor: {message}", file=sys.stderr)
        raise SystemExit(2)


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 healthy, 2 problems or bad input."""
    given = _parse(argv)
    try:
        diagnosis = diagnose(given.ckpt_dir, WAN_CONFIGS[given.task] if given.task else None)
        print_diagnosis(diagnosis)
        sys.stdout.flush()
    except BrokenPipeError:
        # `| head` has read enough; what is left goes nowhere, or Python complains about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"doctor: --ckpt_dir {given.ckpt_dir} cannot be read ({error}); check its permissions", file=sys.stderr)
        return 2
    return 2 if diagnosis.problems else 0


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """The report, for this command and for those that end with it."""
    kind = f"{diagnosis.layout} layout" if diagnosis.layout else "no checkpoint"
    size = f"{diagnosis.weight_files} weight files, {format_bytes(diagnosis.weight_bytes)}"
    print(f"{diagnosis.ckpt_dir}: {kind}; {size}; {format_bytes(diagnosis.free_bytes)} free on its disk")
    if diagnosis.tasks:
        print(f"the model serves --task {' or '.join(diagnosis.tasks)}")
    if not diagnosis.problems:
        name = diagnosis.config.name
        print(f"healthy: python generate.py --task {name} --ckpt_dir {quoted(diagnosis.ckpt_dir)} --prompt ...")
        return
    count = len(diagnosis.problems)
    print(f"{count} problem{'s' if count > 1 else ''}, checked for --task {diagnosis.config.name}:")
    for number, problem in enumerate(diagnosis.problems, start=1):
        print(f"{number:3}. {problem.sentence}")
        print(f"     -> {diagnosis.command(problem)}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt_dir", type=Path, required=True, help="checkpoint folder, of either layout")
    parser.add_argument("--task", choices=sorted(WAN_CONFIGS), help="default: the task that the model fits")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
