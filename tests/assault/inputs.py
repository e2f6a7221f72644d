"""Part ``inputs``: broken checkpoints, files of runs, pictures and texts, given to the commands that read them."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from tests.assault import bad_checkpoints, bad_files, bad_pictures, checkpoint_assault
from tests.assault.trials import Plan, Trial
from wan.cli.main import run

CHECKED = (
    "Broken checkpoints (shards, headers, dtypes, shapes, keys, indices, configs, tokenizers, pickles with a payload) "
    "given to `doctor`, a dry run and `generate`; broken latents, debug steps and records given to `compare`, "
    "`continuity`, `report` and `decode`; prompts and prompt files with NUL, 1 MB lines and bytes that are not UTF-8 "
    "given to `generate`, `compare`, `tune` and `bench arena`; pictures that are cut, flipped, too large, of another "
    "kind or no files given to `generate --image`: exit code 2 in one sentence (some flipped pictures are pictures "
    "still, and are taken), no payload run, no file left."
)
SAMPLE = 12
"""Every broken checkpoint and file has a test of its own beside this part."""
MEGABYTE = 10**6
_TUNE = ("--clips", "2", "--verify_clips", "2", "--dry_run", "--work_dir", "MADE", "--output", "MADE/calibration.json")
_SMALL = ("--task", "t2v-demo", "--frame_num", "5", "--sample_steps", "2")
TEXTS: Mapping[str, bytes] = {
    "NUL": b"a red circle\0 moving right\n",
    "only NUL": b"\0" * 100,
    "a line of 1 MB": b"a red circle " * (MEGABYTE // 13) + b"\n",
    "a word of 1 MB": b"x" * MEGABYTE,
    "Latin-1": "ein blauer Kreis, sch\u00f6n\n".encode("latin-1"),
    "cut UTF-8": b"a red circle \xe4\xb8\n",
    "overlong UTF-8": b"a red circle \xc0\xaf\n",
    "a surrogate": b"a red circle \xed\xa0\x80\n",
    "UTF-16": "a red circle\n".encode("utf-16"),
    "nothing": b"",
    "white space": b" \n\t\n",
    "comments": b"# one\n# two\n",
}


_SUITES: Mapping[str, bytes] = {
    "a list as a key": b"? [a, b]\n: c\n",
    "a date that is none": b"like: quick\nseeds: [2026-99-99]\n",
    "a number that is none": b"like: quick\nseeds: [!!int abc]\n",
    "a Python object": b"like: !!python/object/apply:os.mkdir [TRAP]\n",
    "ten thousand brackets": b"like: " + b"[" * 10_000 + b"\n",
    "an anchor of its own": b"&a [*a]\n",
}
_GOOD = b"".join(b"a blue square moving left %d\n" % number for number in range(8))
_EMPTY = ("nothing", "white space", "comments")


def plan(folder: Path, sample: bool) -> Plan:
    """The trials of this part; they look at what is printed, so one after the other."""
    trials = [*_checkpoints(folder), *_files(folder), *_pictures(folder)]
    trials = trials[:: len(trials) // SAMPLE] if sample else trials
    return Plan(trials=[*trials, *_texts(folder)], workers=1)


def _checkpoints(folder: Path) -> list[Trial]:
    whole = checkpoint_assault.make_bases(folder / "whole")

    def attack(case: bad_checkpoints.Case) -> str | None:
        row = checkpoint_assault.attack(case, whole[case.base], folder / "work")
        return None if row.outcome == checkpoint_assault.REFUSED else row.outcome

    return [Trial(f"checkpoint, {case.name}", lambda c=case: attack(c)) for case in bad_checkpoints.all_cases()]


def _files(folder: Path) -> list[Trial]:
    whole = bad_files.make_run(folder / "run" / "whole")

    def attack(case: bad_files.FileCase) -> str | None:
        outcome, sentence = bad_files.attack(case, whole, folder / "file_work")
        return None if outcome == checkpoint_assault.REFUSED else f"{outcome}: {sentence}"

    return [Trial(case.name, lambda c=case: attack(c)) for case in bad_files.all_file_cases()]


def _pictures(folder: Path) -> list[Trial]:
    def attack(case: bad_pictures.PictureCase, number: int) -> str | None:
        place = folder / "pictures" / str(number)
        place.mkdir(parents=True)
        case.make(place / "picture.png")
        words = ["--task", "i2v-A14B", "--prompt", "a dog", "--image", str(place / "picture.png"), "--dry_run"]
        words += ["--output_dir", str(place / "made")]
        with remembered(place) as left, redirect_stdout(StringIO()), redirect_stderr(StringIO()) as errors:
            code = run("generate", words)
        if code == 0 and case.may_pass:
            return left()
        return unlike_refusal(code, errors.getvalue()) or left()

    cases = bad_pictures.all_picture_cases()
    return [Trial(f"picture, {case.name}", lambda c=case, n=n: attack(c, n)) for n, case in enumerate(cases)]


def _texts(folder: Path) -> list[Trial]:
    """Prompt files for the commands that take them, and the same texts where a command line can hold them."""

    def by_file(name: str, command: str, flag: str, *flags: str) -> Trial:
        def attack() -> str | None:
            place = folder / "texts" / f"{name} {command}"
            place.mkdir(parents=True)
            # good lines before it, so that it is not refused for having too few
            (place / "prompts.txt").write_bytes(TEXTS[name] if name in _EMPTY else _GOOD + TEXTS[name])
            words = [word.replace("MADE", str(place / "made")) for word in flags]
            words += [flag, str(place / "prompts.txt")]
            return refused_in(command, words, place)

        return Trial(f"{command} {flag}, {name}", attack)

    def arena(name: str, content: bytes) -> Trial:
        def attack() -> str | None:
            place = folder / "texts" / f"{name} arena"
            place.mkdir(parents=True)
            (place / "suite.yaml").write_bytes(content)
            words = ["arena", "--suite", str(place / "suite.yaml"), "--output_dir", str(place / "made"), "--dry_run"]
            return refused_in("bench", words, place)

        return Trial(f"bench arena --suite, {name}", attack)

    def by_word(name: str) -> Trial:
        def attack() -> str | None:
            place = folder / "texts" / f"{name} generate"
            place.mkdir(parents=True)
            words = [*_SMALL, "--prompt", os.fsdecode(TEXTS[name]), "--output_dir", str(place / "made")]
            return refused_in("generate", words, place)

        return Trial(f"generate --prompt, {name}", attack)

    said = ("NUL", "a line of 1 MB", "Latin-1", "cut UTF-8", "a surrogate")
    return [
        *(by_file(name, "compare", "--prompt_file", *_SMALL, "--output_dir", "MADE") for name in TEXTS),
        *(by_file(name, "tune", "--prompts", "--task", "t2v-demo", *_TUNE) for name in TEXTS),
        *(arena(name, b"like: quick\nprompts:\n  - " + TEXTS[name]) for name in TEXTS if name not in _EMPTY),
        *(arena(name, content) for name, content in _SUITES.items()),
        *(by_word(name) for name in said),
    ]


def refused_in(command: str, words: Sequence[str], place: Path) -> str | None:
    """The fault of a command that had to refuse: exit code 2, one sentence, nothing written in ``place``."""
    with remembered(place) as left, redirect_stdout(StringIO()), redirect_stderr(StringIO()) as errors:
        code = run(command, list(words))
    return unlike_refusal(code, errors.getvalue()) or left()


def unlike_refusal(code: int, sentence: str) -> str | None:
    """What an exit code and what was said have of anything else than a refusal in one sentence."""
    if code != 2 or sentence.count("\n") != 1 or "Traceback" in sentence:
        return f"ended with {code} and said {sentence[:300]!r}"
    return None


@contextmanager
def remembered(place: Path) -> Iterator[Callable[[], str | None]]:
    """Hands out a function that names what was made in a folder, or a TRAPPED file in the current one, since then."""
    before, trap = set(place.rglob("*")), Path("TRAPPED")
    trap.unlink(missing_ok=True)

    def left() -> str | None:
        made = sorted(path.name for path in set(place.rglob("*")) - before) + [trap.name] * trap.exists()
        return f"left {', '.join(made)}" if made else None

    yield left
