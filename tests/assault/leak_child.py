"""Makes many runs in one process and prints what the process holds after each: ``leak_child.py RUNS FOLDER FLAGS``."""

import ctypes
import gc
import json
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str]) -> None:
    sys.path[0] = str(ROOT)
    from wan.cli.main import run

    runs, folder, *flags = argv
    for number in range(int(runs)):
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = run("generate", [*flags, "--base_seed", str(number), "--output_dir", folder])
        if code != 0:
            sys.exit(f"run {number + 1} ended with {code}: {said.getvalue()[-500:]}")
        _tidy()
        sys.stdout.write(json.dumps(_held(Path(folder))) + "\n")


def _tidy() -> None:
    """What is free goes back to the system, or the size of the process says nothing."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _held(folder: Path) -> dict[str, float]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    temporary = [*Path(tempfile.gettempdir()).iterdir(), *folder.rglob(".partial-*")]
    return {
        "memory": int(status["VmRSS"].split()[0]) / 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
        "temporary": len(temporary),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
