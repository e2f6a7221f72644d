"""``wan report``: one self-contained HTML page about runs and measurements."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from wan.commands import command_line
from wan.errors import InvalidInput
from wan.flags import Parser, make_parser
from wan.runs import write_text_atomic
from wan.runs.writable import refuse_unwritable_file

DEFAULT_OUTPUT = "report.html"
_DEFAULT_FOLDERS = ("comparison_outputs", "continuity_analysis", "demo_continuity")
_NEWEST_RUNS = 4
DESCRIPTION = f"""\
One self-contained HTML page about runs and measurements: videos, figures, tables, plans, how to make them again.

    {command_line("report")} outputs/RUN         one run (with its error analysis, if it was a debug run)
    {command_line("report")} outputs/RUN_A outputs/RUN_B
    {command_line("report")} outputs             every result folder in it
    {command_line("report")} comparison_outputs continuity_analysis --output report.html

Takes run folders, debug folders, and the output folders of the commands compare, continuity and continuity-demo. The
page loads nothing from a network and can be sent as a single file. Without a folder it shows everything that the
default output folders here hold.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    from wan.analysis.report import make_report  # takes seconds that --help need not wait for

    output = _output(args.output, overwrite=args.overwrite)
    folders = [found for folder in args.folders for found in _results_in(folder)] or _found_here(Path())
    text = make_report(folders, title=args.title)
    write_text_atomic(output, text)
    print(f"{output} ({len(text.encode()) / 1e6:.1f} MB): {', '.join(str(folder) for folder in folders)}")


def build_parser() -> Parser:
    parser = make_parser("report", DESCRIPTION, usage="%(prog)s [RUN ...] [flags]")
    parser.add_argument("folders", nargs="*", type=Path, metavar="RUN", help="result folders, in the order of the page")
    parser.add_argument(
        "--output", type=Path, help=f"the page to write; default: {DEFAULT_OUTPUT}, or the next free number"
    )
    parser.add_argument("--title", default="Wan2.2 Shortcut: results", help="(%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing page")
    return parser


def _output(given: Path | None, *, overwrite: bool) -> Path:
    """The file to write; InvalidInput for a given one that is no page, or that exists and may not be replaced."""
    if given is None:
        return Path(DEFAULT_OUTPUT) if overwrite else _free(Path(DEFAULT_OUTPUT))
    output = given
    if output.suffix.lower() != ".html":
        raise InvalidInput(f"--output {output} must end in .html")
    if output.exists() and not overwrite:
        raise InvalidInput(f"--output {output} exists; give another name, or --overwrite to replace it")
    refuse_unwritable_file(output, flag="--output")
    return output


def _free(path: Path) -> Path:
    """``path``, or ``path``-2, -3, ... when it exists, which is said."""
    candidates = (path if number == 1 else path.with_stem(f"{path.stem}-{number}") for number in count(1))
    free = next(candidate for candidate in candidates if not candidate.exists())
    if free != path:
        print(f"{path} exists and is kept: the new page is {free} (--overwrite replaces {path})")
    return free


def _found_here(place: Path) -> list[Path]:
    """The default output folders that hold results, and the newest runs; InvalidInput when there is nothing."""
    runs = sorted((place / "outputs").glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    folders = [path.parent for path in runs[:_NEWEST_RUNS]]
    for name in _DEFAULT_FOLDERS:
        candidates = [path for path in place.glob(f"{name}*") if path.is_dir()]
        folders += [path for path in sorted(candidates) if _has_results(path)]
    if not folders:
        raise InvalidInput("there are no results here (outputs/, comparison_outputs/, ...): give a result folder")
    return folders


def _results_in(folder: Path) -> list[Path]:
    """A result folder itself; of a folder that only holds some, such as outputs/, each of them, by name."""
    if not folder.is_dir() or _has_results(folder):
        return [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_results(path)]
    return inside or [folder]


def _has_results(folder: Path) -> bool:
    from wan.analysis.report import section_for

    try:
        section_for(folder)
    except InvalidInput:
        return False
    return True
