"""Real commands in processes of their own, as a user starts them, and what they say when they end."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")
SECONDS = 240
_HUBS = ("HF_", "TRANSFORMERS_", "DIFFUSERS_", "MODELSCOPE_")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended; ``code`` is negative for the signal that ended it."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What it said on stderr."""
        return self.err.strip()


def run_child(
    words: Sequence[str | Path],
    *,
    cwd: Path,
    plan: str = "",
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    preexec: Callable[[], None] | None = None,
) -> Ended:
    """Run a command (``generate``, ``report``, ...) to its end in ``cwd``.

    ``plan``: what happens to it, see ``child.py``; without one nothing of this package is in the process. ``before``:
    words before the interpreter, such as ``unshare -n``.
    """
    name, *flags = map(str, words)
    script = [str(ROOT / "generate.py")] if name == "generate" else ["-m", "wan", name]
    python = [sys.executable, *([str(CHILD), plan, name] if plan else script)]
    cwd.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        [*before, *python, *flags],
        cwd=cwd,
        env=environment() | dict(env or {}),
        preexec_fn=preexec,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def not_one_sentence(ended: Ended, *, codes: Sequence[int] = (1, 2)) -> str | None:
    """The fault of a command that had to refuse or give up in one sentence."""
    if ended.code not in codes:
        return f"ended with {ended.code} instead of {' or '.join(map(str, codes))}: {ended.sentence[-300:]}"
    if "Traceback" in ended.err or len(ended.sentence.splitlines()) != 1:
        return f"said {ended.sentence[-400:]!r} instead of one sentence"
    return None


def not_well(ended: Ended) -> str | None:
    """The fault of a command that had to succeed."""
    return None if ended.code == 0 else f"ended with {ended.code}: {ended.sentence[-300:]}"


def environment() -> dict[str, str]:
    """This process's, one thread each so that two share two cores, and no word to a hub's client that it is offline."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_HUBS)}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
