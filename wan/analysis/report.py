"""The report page: a section for every result folder, and the sections of comparisons and continuity analyses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from wan.analysis.comparison_files import DATA_NAME, REPORT_NAME, SIDE_BY_SIDE
from wan.analysis.debug import ANALYSIS_FOLDER, ANALYSIS_NAME
from wan.analysis.measures import HEADLINES, MEASURES, Measure
from wan.analysis.page import (
    Section,
    command_block,
    folded,
    heading,
    page,
    paragraph,
    preformatted,
    section_anchor,
    table,
    verdict,
)
from wan.analysis.page_media import Media
from wan.analysis.report_files import read_json
from wan.analysis.report_runs import debug_section, run_section, side_by_side_section
from wan.errors import InvalidInput
from wan.runs import RECORD_NAME
from wan.untrusted.refusal import MALFORMED, reason_of

MakeSection = Callable[[Path, Media], Section]
_VERDICTS = {True: "met", False: "not met", None: "unknown"}
_PANELS = "baseline, method and difference side by side (small videos are enlarged, every pixel as a square)"


def make_report(folders: Sequence[Path], *, title: str) -> str:
    """The page over all folders, each once and in order; InvalidInput for a folder that holds no results."""
    makers = {folder.resolve(): (folder, section_for(folder)) for folder in folders}
    runs = [folder for folder, make in makers.values() if make is run_section]
    letters = dict(zip(runs, _letters(), strict=False)) if len(runs) > 1 else {}
    first = 2 if letters else 1
    media = Media({folder: section_anchor(number) for number, folder in enumerate(makers, start=first)})
    with _readable(*letters):
        sections = [side_by_side_section(letters, media)] if letters else []
    for folder, make in makers.values():
        with _readable(folder):
            is_lettered = folder in letters
            sections.append(run_section(folder, media, letter=letters[folder]) if is_lettered else make(folder, media))
    number = f"{len(makers)} result folder{'s' if len(makers) > 1 else ''}"
    return page(title, f"{number}; nothing is loaded from a network", sections)


@contextmanager
def _readable(*folders: Path) -> Iterator[None]:
    """InvalidInput for results whose values are not what this program writes; whoever wrote them."""
    try:
        yield
    except InvalidInput:
        raise
    except MALFORMED as error:
        named = " and ".join(map(str, folders))
        raise InvalidInput(
            f"the results in {named} are damaged, or not of this version ({type(error).__name__}: {reason_of(error)}); "
            "make them again"
        ) from error


def section_for(folder: Path) -> MakeSection:
    """The kind of a folder by the files in it."""
    for name, section in _SECTIONS.items():
        if (folder / name).is_file():
            return section
    raise InvalidInput(
        f"{folder} holds no results (no {', '.join(_SECTIONS)}): give a run folder, a debug folder, or the output "
        "folder of a comparison or a continuity analysis"
    )


def comparison_section(folder: Path, media: Media) -> Section:
    """A comparison: verdicts, measures of every method and control, pictures and videos."""
    data = read_json(folder / DATA_NAME)
    if "sides" not in data:
        return _earlier_runs_section(folder, data, media)
    measured = {name: side for name, side in data["sides"].items() if "cases" in side}
    methods = {name: side for name, side in measured.items() if not side["is_control"]}
    parts = [paragraph(str(folder), quiet=True)]
    parts.append(_comparison_table(measured))
    for name, side in methods.items():
        parts.append(heading(side["title"]))
        parts += [
            verdict(_VERDICTS[v["met"]], f"{v['rule']}: {v['measured']}", good=v["met"]) for v in side["verdicts"]
        ]
        which = "" if len(side["cases"]) == 1 else ", the worst case"
        parts.append(media.show(_worst_folder(folder / name, side) / SIDE_BY_SIDE, f"{_PANELS}{which}"))
        parts.append(media.show(folder / name / "contact_sheet.png", f"contact sheet{which}"))
        parts.append(media.show(folder / name / "per_frame.png", "quality of every frame"))
    parts += [
        media.show(folder / "cases.png", "every case"),
        media.show(folder / "latent_divergence.png", "drift of the latents"),
    ]
    text = folder / REPORT_NAME
    if text.is_file():
        parts.append(folded("The report in full", preformatted(text.read_text(encoding="utf-8"))))
    parts += [heading("Make it again"), command_block(data["command"])]
    return Section(title=f"Comparison: {data['comparison_mode']}", content="\n".join(parts))


def continuity_section(folder: Path, media: Media) -> Section:
    """A continuity analysis: figures and the early / middle / late table of the space that was shown."""
    data = read_json(folder / "continuity_statistics.json")
    space, run = data["shown_space"], data["run"]
    parts = [paragraph(str(folder), quiet=True)]
    names = {"mse": "MSE of adjacent frames", "normalized_l2": "normalised L2 distance", "cosine": "cosine similarity"}
    steps = data["phase_steps"]
    header = ["mean over the steps", *(f"{phase} ({a}-{b})" for phase, (a, b) in steps.items())]
    rows = [[names[m], *(_number(data["phases"][space][m][phase]) for phase in steps)] for m in names]
    parts.append(table(header, rows))
    for name, caption in (
        ("continuity_analysis.png", "neighbouring latent frames, step by step"),
        ("continuity_comparison.png", "against another run"),
        ("expert_switch.png", "across the expert switch"),
    ):
        if (folder / name).is_file():
            parts.append(media.show(folder / name, caption))
    if "command" in run:
        parts += [heading("Make it again"), command_block(run["command"])]
    title = f"Temporal continuity ({space}): {run.get('prompt', folder.name)}"
    return Section(title=title, content="\n".join(parts))


def sweep_section(folder: Path, media: Media) -> Section:
    """A continuity sweep: its one figure."""
    content = paragraph(str(folder), quiet=True) + media.show(folder / "continuity_sweep.png", "every run of the sweep")
    return Section(title="Temporal continuity, sweep", content=content)


def demo_section(folder: Path, media: Media) -> Section:
    """The simulated continuity demonstration."""
    caption = "simulated latents: no model was run"
    content = paragraph(str(folder), quiet=True) + media.show(folder / "temporal_continuity_demo.png", caption)
    return Section(title="Temporal continuity, simulated", content=content)


_SECTIONS: Mapping[str, MakeSection] = {
    DATA_NAME: comparison_section,
    "continuity_sweep.json": sweep_section,
    "continuity_statistics.json": continuity_section,
    f"{ANALYSIS_FOLDER}/{ANALYSIS_NAME}": debug_section,
    "temporal_continuity_demo.npz": demo_section,
    RECORD_NAME: run_section,
}


def _comparison_table(sides: Mapping[str, Mapping[str, Any]]) -> str:
    """The headline measures of every method and control: the mean, and the worst case where it differs."""
    columns = [MEASURES[name] for name in HEADLINES]
    header = ["against the same-seed baseline", "cases", *(column.label[0] for column in columns)]
    rows = [
        [
            side["title"],
            str(len(side["cases"])),
            *(_mean_and_worst(column, side["summary"][column.name]) for column in columns),
        ]
        for side in sides.values()
    ]
    return table(header, rows)


def _mean_and_worst(measure: Measure, spread: Mapping[str, Any]) -> str:
    mean, worst = float(spread["mean"]), float(spread["worst"])
    return measure.text(mean) if mean == worst else f"{measure.text(mean)} (worst {worst:{measure.form}})"


def _worst_folder(folder: Path, side: Mapping[str, Any]) -> Path:
    cases = side["cases"]
    if len(cases) == 1:
        return folder
    worst = min(range(len(cases)), key=lambda index: float(cases[index]["measures"]["psnr"]))
    return folder / f"case_{worst + 1:02d}"


def _earlier_runs_section(folder: Path, data: Mapping[str, Any], media: Media) -> Section:
    parts = [
        paragraph(str(folder), quiet=True),
        media.show(folder / SIDE_BY_SIDE, _PANELS),
        media.show(folder / "contact_sheet.png", "contact sheet"),
        media.show(folder / "per_frame.png", "quality of every frame"),
        preformatted((folder / REPORT_NAME).read_text(encoding="utf-8")),
    ]
    title = f"Comparison of {Path(data['method']).name} with {Path(data['baseline']).name}"
    return Section(title=title, content="\n".join(parts))


def _letters() -> Iterator[str]:
    """A to Z, then A2 to Z2, ..."""
    for round_number in count(1):
        yield from (letter if round_number == 1 else f"{letter}{round_number}" for letter in ascii_uppercase)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
