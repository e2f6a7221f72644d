"""Real commands in processes of their own, as a user starts them, and what they say when they end.

Most are forked from a process that has imported the libraries and done nothing else, which saves each of them seconds;
with ``fresh`` it is a new interpreter.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from tests.assault import child

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("child.py")
SECONDS = 600
_HUBS = ("HF_", "TRANSFORMERS_", "DIFFUSERS_", "MODELSCOPE_")
_PRELOADED = (
    "wan.generation",
    "wan.cli.generate",
    "wan.cli.report",
    "wan.cli.compare",
    "wan.runs.video",
    "tests.assault.parts",
)
_numbers = count(1)


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
    fresh: bool = False,
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    preexec: Callable[[], None] | None = None,
) -> Ended:
    """Run a command (``generate``, ``report``, ...) to its end in ``cwd``.

    ``plan``: what happens to it, see ``child.py``. A new interpreter also where there are ``before``, words before it
    such as ``unshare -n``, or ``preexec``.
    """
    cwd.mkdir(parents=True, exist_ok=True)
    if fresh or before or preexec is not None:
        return _started(list(map(str, words)), cwd, plan, before, dict(env or {}), preexec)
    return _forked(list(map(str, words)), cwd, plan, dict(env or {}))


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


def _started(
    words: list[str],
    cwd: Path,
    plan: str,
    before: Sequence[str],
    env: dict[str, str],
    preexec: Callable[[], None] | None,
) -> Ended:
    name, *flags = words
    script = [str(ROOT / "generate.py")] if name == "generate" else ["-m", "wan", name]
    python = [sys.executable, *([str(CHILD), plan, name] if plan else script)]
    ended = subprocess.run(
        [*before, *python, *flags],
        cwd=cwd,
        env=environment() | env,
        preexec_fn=preexec,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def _forked(words: list[str], cwd: Path, plan: str, env: dict[str, str]) -> Ended:
    said = cwd.parent / f".said-{os.getpid()}-{next(_numbers)}"
    out, err = said.with_suffix(".out"), said.with_suffix(".err")
    process = _server().Process(target=_run_here, args=(words, cwd, plan, env, out, err))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{' '.join(words)} took longer than {SECONDS} s")
    texts = [path.read_text(encoding="utf-8", errors="backslashreplace") for path in (out, err)]
    for path in (out, err):
        path.unlink()
    return Ended(process.exitcode, *texts)


@cache
def _server() -> Any:
    """Where processes are forked from; it is started with ``environment()``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    before = dict(os.environ)
    _set_environment(environment())
    try:
        forkserver.ensure_running()
    finally:
        _set_environment(before)
    return context


def _set_environment(values: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name not in values]:
        del os.environ[name]
    os.environ.update(values)


def _run_here(words: list[str], cwd: Path, plan: str, env: dict[str, str], out: Path, err: Path) -> None:
    """In the new process."""
    os.chdir(cwd)
    os.environ |= env
    for path, number in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), number)
    child.main([plan, *words])
