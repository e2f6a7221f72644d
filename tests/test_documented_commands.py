"""Every command of the READMEs and documents works: all are parsed, what needs no download and no GPU is run."""

import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from wan.cli.main import run
from wan.commands import COMMANDS, module_of

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
NAMES = {f"python {command.door}": name for name, command in COMMANDS.items() if command.door}
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if f"python tools/{path.name}" not in NAMES)
# a value in capitals, dots or angle brackets stands for the reader's own
PLACEHOLDER = re.compile(r"\.\.\.|<[^>]*>|\b[A-Z][A-Z_]{2,}\b|path/to|Wan2\.[12]|WAN2\.2|/a/|/data")
# what is made small so that it runs in seconds; a flag that stands later wins
SMALL = {
    "generate": ["--sample_steps", "4", "--frame_num", "9", "--quiet", "--base_seed", "1"],
    "compare": ["--sample_steps", "4", "--frame_num", "9", "--size", "32*32", "--quiet", "--seed", "0"],
    "continuity": ["--size", "32*32", "--quiet"],
    "bench": ["--sample_steps", "4", "--frame_num", "9", "--repeats", "1"],
    "serve": ["--dry_run"],  # it would serve until it is stopped
}
FLAGS_THAT_LOAD_NOTHING = {"--dry_run", "--help", "--list_vocabulary"}


@dataclass(frozen=True)
class Documented:
    """One command line as it stands, and where."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def documented() -> Iterator[Documented]:
    """The shell lines of fenced and of indented code, continued lines joined, each text once."""
    seen = set()
    for page in PAGES:
        for block in code_blocks(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                text = re.sub(r"\s+#.*$", "", line.strip().removeprefix("$ "))
                if re.match(r"(python|wan|make) ", text) and " ".join(text.split()) not in seen:
                    seen.add(" ".join(text.split()))
                    yield Documented(page.relative_to(ROOT).as_posix(), text)


def code_blocks(text: str) -> Iterator[str]:
    yield from re.findall(r"^```(?:bash|sh|shell|console)?\n(.*?)^```", text, flags=re.M | re.S)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield "\n".join(line[4:] for line in outside.splitlines() if line.startswith("    "))


def command_of(words: list[str]) -> tuple[str, list[str]] | None:
    """(command, its flags); None for what is no command of the package."""
    if words[0] == "wan":
        name, rest = words[1], words[2:]
    elif words[:3] == ["python", "-m", "wan"]:
        name, rest = words[3], words[4:]
    else:
        name, rest = NAMES.get(" ".join(words[:2]), ""), words[2:]
    if rest and f"{name} {rest[0]}" in COMMANDS:
        name, rest = f"{name} {rest[0]}", rest[1:]
    return (name, rest) if name else None


ALL = list(documented())
OURS = [(one, *found) for one in ALL if (found := command_of(one.words))]


def is_runnable(one: Documented, name: str, argv: list[str]) -> bool:
    if PLACEHOLDER.search(re.sub(r"t2v-A14B|TI2V|T2V", "", one.text)) or name in ("convert", "download"):
        return False
    if FLAGS_THAT_LOAD_NOTHING & set(argv):
        return True
    if name in ("bench arena", "tune", "extend"):  # take minutes; their own tests run small ones
        return False
    named = {flag: value for flag, value in pairwise(argv) if flag.startswith("--")}
    is_demo = named.get("--task", "t2v-demo" if name != "generate" else "t2v-A14B") == "t2v-demo"
    has_files = not {"--image", "--prompt_file", "--from_runs", "--from_run", "--random_weights"} & set(argv)
    return is_demo and has_files and ("--ckpt_dir" not in named or "t2v-demo" in named["--ckpt_dir"])


RUNNABLE = [row for row in OURS if is_runnable(*row)]


def test_there_are_commands_to_test() -> None:
    assert len(OURS) > 40 and len(RUNNABLE) > 12, [one.text for one, *_ in RUNNABLE]
    assert {name for _, name, _ in OURS} == set(COMMANDS)


@pytest.mark.parametrize("row", OURS, ids=lambda row: f"{row[0].page}: {row[0].text}"[:90])
def test_the_flags_of_every_command_exist(row: tuple[Documented, str, list[str]]) -> None:
    _, name, argv = row
    parser = importlib.import_module(module_of(name)).build_parser()
    known = {flag for action in parser._actions for flag in action.option_strings}
    used = {word.split("=")[0] for word in argv if word.startswith("--")}
    assert used <= known


def test_every_tool_and_make_target_that_is_named_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    for one in ALL:
        words = one.words
        if words[0] == "make":
            assert [word for word in words[1:] if "=" not in word and word not in targets] == [], one
        elif words[0] == "python" and words[1].startswith(("tools/", "examples/")) and "/path" not in words[1]:
            assert (ROOT / words[1]).is_file(), one


@pytest.mark.parametrize(
    "one", [one for one in ALL if one.words[:2] and one.words[1].removesuffix(".py").rpartition("/")[2] in TOOLS],
    ids=lambda one: one.text[:80],
)  # fmt: skip
def test_the_flags_of_every_tool_exist(one: Documented) -> None:
    text = (ROOT / one.words[1]).read_text(encoding="utf-8")
    shared = (ROOT / "wan" / "instruments" / "flags.py").read_text(encoding="utf-8")
    request = "".join((ROOT / "wan" / f"{name}.py").read_text("utf-8") for name in ("request", "machine", "shortcuts"))
    for flag in (word for word in one.words[2:] if word.startswith("--")):
        name = flag.removeprefix("--").split("=")[0]
        stem = name.removesuffix("_steps").removesuffix("_minutes")
        assert f'"--{name}"' in text + shared or f"{name}:" in request or f'"{stem}"' in text, one


def first_two_of_a_list(argv: list[str]) -> list[str]:
    """A sweep over many numbers of frames or of steps is one over two."""
    kept, numbers = [], 0
    for word in argv:
        numbers = numbers + 1 if word.isdecimal() else 0
        kept += [word] if numbers <= 2 else []
    return kept


@pytest.mark.slow
@pytest.mark.parametrize("row", RUNNABLE, ids=lambda row: row[0].text[:90])
def test_what_can_run_here_runs(
    row: tuple[Documented, str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name, argv = row
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    monkeypatch.chdir(tmp_path)
    if any(word.startswith("outputs") for word in argv):
        assert run("generate", ["--task", "t2v-demo", *SMALL["generate"]]) == 0
        argv = [path for word in argv for path in (map(str, tmp_path.glob(word)) if "outputs/*" in word else [word])]
    if name == "report" or "--compare" in argv:
        folder = argv[argv.index("--compare") + 1] if "--compare" in argv else "continuity_analysis"
        shape = ["--size", "32*32", "--num_frames", "17", "--num_inference_steps", "6", "--quiet"]
        assert run("continuity", [*shape, "--output_dir", folder]) == 0
    small = [] if FLAGS_THAT_LOAD_NOTHING & set(argv) else SMALL.get(name, [])
    if small and {"--budget", "--preset"} & set(argv):  # of 4 steps a budget buys too few
        small = [*small, "--sample_steps", "20"]
    if name == "continuity" and small:
        small = [*small, *([] if "--num_frames" in argv else ["--num_frames", "17"])]
        small += [] if "--num_inference_steps" in argv else ["--num_inference_steps", "6"]
    argv = first_two_of_a_list(argv)
    if "--help" in argv:
        with pytest.raises(SystemExit, match="0"):
            run(name, argv)
    else:
        assert run(name, [*argv, *small]) == 0
    shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
