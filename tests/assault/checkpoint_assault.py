"""Runs the broken checkpoints through the doctor, a dry run and ``generate``: each must end in one sentence."""

import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.assault.bad_checkpoints import DIFFUSERS, OFFICIAL, SINGLE, WITH_IMAGE, Case, all_cases
from tests.assault.harm import trap_of
from tests.goldens import materialise
from wan.cli.main import run
from wan.loading.doctor import diagnose

TASKS = {OFFICIAL: "t2v-A14B", SINGLE: "ti2v-5B", DIFFUSERS: "t2v-A14B", WITH_IMAGE: "i2v-14B"}
SECONDS_PER_CASE = 30
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """``outcome``: refused, or what went wrong; ``dry_run``: whether the dry run refused too, which knows no shapes."""

    name: str
    outcome: str
    dry_run: bool
    sentence: str


def run_all(folder: Path, cases: Sequence[Case] | None = None, *, with_doctor: bool = True) -> list[Row]:
    """Break, try and remove one copy after the other in ``folder``."""
    whole = make_bases(folder / "whole")
    chosen = all_cases() if cases is None else cases
    return [attack(case, whole[case.base], folder / "work", with_doctor=with_doctor) for case in chosen]


def make_bases(folder: Path) -> dict[str, Path]:
    """The whole checkpoints that are broken, a megabyte or two each."""
    return {
        OFFICIAL: materialise("t2v_A14B_unipc", folder / OFFICIAL, shards=3),
        SINGLE: materialise("ti2v_5B_t2v_unipc", folder / SINGLE),
        DIFFUSERS: materialise("t2v_A14B_unipc", folder / DIFFUSERS, layout="diffusers"),
        WITH_IMAGE: materialise("wan21_i2v_unipc", folder / WITH_IMAGE, layout="diffusers"),
    }


def attack(case: Case, whole: Path, work: Path, *, with_doctor: bool = True) -> Row:
    """One case: break a copy, let it be read by all that read checkpoints, and look what is left.

    ``with_doctor`` False leaves out the doctor, which looks for every problem where the others stop at the first.
    """
    shutil.rmtree(work, ignore_errors=True)
    copy = work / "checkpoint"
    shutil.copytree(whole, copy, copy_function=os.link)
    case.harm(copy)
    before = _listing(work)
    try:
        with _time_limit():
            outcome, dry_run, sentence = _read(copy, TASKS[case.base], work / "outputs", with_doctor=with_doctor)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        outcome, dry_run, sentence = f"raised {type(error).__name__}: {error}"[:300], False, ""
    if trap_of(copy).exists() or Path("TRAP").exists():
        outcome = "ran the payload"
    elif _listing(work) != before:
        outcome = f"left {sorted(_listing(work) - before)}"
    shutil.rmtree(work, ignore_errors=True)
    return Row(case.name, outcome, dry_run, sentence.replace(str(copy), "CKPT").replace(str(work), "WORK"))


def as_table(rows: Sequence[Row]) -> str:
    """Markdown for docs/reliability.md: what was tried, and the sentence."""
    lines = ["| broken | outcome | dry run | sentence |", "|---|---|---|---|"]
    for row in rows:
        sentence = row.sentence.replace("|", "\\|")
        lines.append(f"| {row.name} | {row.outcome} | {'refused' if row.dry_run else 'passes'} | {sentence} |")
    return "\n".join(lines)


def _read(copy: Path, task: str, outputs: Path, *, with_doctor: bool) -> tuple[str, bool, str]:
    """(outcome, whether the dry run refused, the sentence of ``generate``)."""
    problems = diagnose(copy, output_dir=outputs.parent).problems if with_doctor else None
    if problems == ():
        return "healthy for the doctor", False, ""
    if any("\n" in problem.sentence for problem in problems or ()):
        return "a sentence of the doctor has two lines", False, ""
    flags = request_flags(copy, task, outputs)
    code, _ = _command([*flags, "--dry_run"])
    if code not in (0, 2):
        return f"the dry run ended with {code}", False, ""
    is_refused_dry = code == 2
    code, sentence = _command(flags)
    if code != 2:
        return f"generate ended with {code}: {sentence}", is_refused_dry, ""
    if sentence.count("\n") != 1 or "Traceback" in sentence:
        return f"generate said {sentence!r}", is_refused_dry, ""
    return REFUSED, is_refused_dry, sentence.strip().split(": ", 1)[1]


def request_flags(ckpt_dir: Path, task: str, outputs: Path) -> list[str]:
    """A small request that a whole checkpoint can make."""
    flags = ["--task", task, "--ckpt_dir", str(ckpt_dir), "--size", "64*64", "--frame_num", "5", "--sample_steps", "1"]
    flags += ["--device", "cpu", "--output_dir", str(outputs), "--prompt", "cat"]
    return [*flags, "--image", str(_picture(outputs.parent.parent))] if task.startswith("i2v") else flags


def _command(flags: Sequence[str]) -> tuple[int, str]:
    said, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(errors):
        code = run("generate", flags)
    return code, errors.getvalue()


def _picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "picture.png"
    if not path.exists():
        Image.new("RGB", (64, 48)).save(path)
    return path


def _listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@contextmanager
def _time_limit() -> Iterator[None]:
    """A pipe that is opened would wait for ever: the case ends as one that hung."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer in {SECONDS_PER_CASE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_PER_CASE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.stdout.write(as_table(run_all(Path(temporary))) + "\n")
