"""Sections of the report page, one kind of result folder each: runs, comparisons, continuity, error analysis."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wan.analysis.debug import ANALYSIS_FOLDER, ANALYSIS_NAME, CFG_FIGURE, REPORT_NAME, REUSE_FIGURE
from wan.analysis.page import (
    command_block,
    facts,
    folded,
    heading,
    page,
    paragraph,
    picture,
    preformatted,
    row,
    table,
    verdict,
    video,
)
from wan.analysis.plan_picture import plan_svg
from wan.errors import InvalidInput
from wan.runs import RECORD_NAME, load_record

Section = Callable[[Path], str]


def make_report(folders: Sequence[Path], *, title: str) -> str:
    """The page over all folders, in order; InvalidInput for a folder that holds no results."""
    sections = [section_for(folder)(folder) for folder in folders]
    return page(
        title,
        f"{len(folders)} result folder{'s' if len(folders) > 1 else ''}; nothing is loaded from a network",
        sections,
    )


def section_for(folder: Path) -> Section:
    """The kind of a folder by the files in it."""
    for name, section in _SECTIONS.items():
        if (folder / name).is_file():
            return section
    raise InvalidInput(
        f"{folder} holds no results (no {', '.join(_SECTIONS)}): give a run folder, a debug folder, or the output "
        "folder of a comparison or a continuity analysis"
    )


def run_section(folder: Path) -> str:
    """One run: video, settings, cost, timing, plan, and how to make it again."""
    record = load_record(folder)
    parts = [heading(f"Run: {record.get('prompt', folder.name)}"), paragraph(str(folder), quiet=True)]
    parts.append(row([_media(folder, record), facts(_run_facts(record))]))
    if "plan" in record:
        parts += [heading("Plan", level=3), plan_svg(record["plan"]), _plan_table(record["plan"])]
        parts.append(row([_cost_table(record), _timing_table(record.get("timing", {}))]))
    parts += [paragraph(f"Note: {line}", quiet=True) for line in record.get("adjustments", [])]
    parts += [heading("Make it again", level=3), command_block(record.get("command", "not recorded"))]
    debug = record.get("outputs", {}).get("debug_outputs")
    if debug and (Path(debug) / ANALYSIS_FOLDER / ANALYSIS_NAME).is_file():
        parts.append(debug_section(Path(debug)))
    return "\n".join(parts)


def comparison_section(folder: Path) -> str:
    """A comparison: verdicts, measures of every method and control, pictures and videos."""
    data = _read_json(folder / "error_comparison.json")
    if "sides" not in data:
        return _earlier_runs_section(folder, data)
    measured = {name: side for name, side in data["sides"].items() if "cases" in side}
    methods = {name: side for name, side in measured.items() if not side["is_control"]}
    parts = [heading(f"Comparison: {data['comparison_mode']}"), paragraph(str(folder), quiet=True)]
    parts.append(_comparison_table(measured))
    for name, side in methods.items():
        parts.append(heading(side["title"], level=3))
        parts += [
            verdict("met" if v["met"] else "not met", f"{v['rule']}: {v['measured']}", good=v["met"])
            for v in side["verdicts"]
        ]
        which = "" if len(side["cases"]) == 1 else ", the worst case"
        parts.append(video(_worst_folder(folder / name, side) / "side_by_side.mp4", f"side by side{which}"))
        parts.append(picture(folder / name / "contact_sheet.png", f"contact sheet{which}"))
        parts.append(picture(folder / name / "per_frame.png", "quality of every frame"))
    parts += [
        picture(folder / "cases.png", "every case"),
        picture(folder / "latent_divergence.png", "drift of the latents"),
    ]
    text = folder / "error_comparison.txt"
    if text.is_file():
        parts.append(folded("The report in full", preformatted(text.read_text(encoding="utf-8"))))
    parts += [heading("Make it again", level=3), command_block(data["command"])]
    return "\n".join(parts)


def continuity_section(folder: Path) -> str:
    """A continuity analysis: figures and the early / middle / late table of the space that was shown."""
    data = _read_json(folder / "continuity_statistics.json")
    space, run = data["shown_space"], data["run"]
    parts = [
        heading(f"Temporal continuity ({space}): {run.get('prompt', folder.name)}"),
        paragraph(str(folder), quiet=True),
    ]
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
            parts.append(picture(folder / name, caption))
    if "command" in run:
        parts += [heading("Make it again", level=3), command_block(run["command"])]
    return "\n".join(parts)


def sweep_section(folder: Path) -> str:
    """A continuity sweep: its one figure."""
    return "\n".join(
        [
            heading("Temporal continuity, sweep"),
            paragraph(str(folder), quiet=True),
            picture(folder / "continuity_sweep.png"),
        ]
    )


def debug_section(folder: Path) -> str:
    """The error analysis of a debug run: findings, figures, report."""
    analysis = folder / ANALYSIS_FOLDER
    data = _read_json(analysis / ANALYSIS_NAME)
    parts = [heading(f"CFG error analysis: {data['run'].get('prompt', '')}"), paragraph(str(folder), quiet=True)]
    for finding in data["findings"]:
        parts.append(verdict(finding["verdict"].lower(), finding["claim"], good=finding["confirmed"] is True))
        parts.append(paragraph(finding["measured"], quiet=True))
    parts.append(picture(analysis / CFG_FIGURE, "size and change of the CFG difference"))
    parts.append(picture(analysis / REUSE_FIGURE, "how an old CFG difference ages"))
    parts.append(folded("The report in full", preformatted((analysis / REPORT_NAME).read_text(encoding="utf-8"))))
    return "\n".join(parts)


def demo_section(folder: Path) -> str:
    """The simulated continuity demonstration."""
    caption = "simulated latents: no model was run"
    return heading("Temporal continuity, simulated") + picture(folder / "temporal_continuity_demo.png", caption)


_SECTIONS: Mapping[str, Section] = {
    "error_comparison.json": comparison_section,
    "continuity_sweep.json": sweep_section,
    "continuity_statistics.json": continuity_section,
    f"{ANALYSIS_FOLDER}/{ANALYSIS_NAME}": debug_section,
    "temporal_continuity_demo.npz": demo_section,
    RECORD_NAME: run_section,
}


def _media(folder: Path, record: Mapping[str, Any]) -> str:
    named = record.get("outputs", {}).get("video")
    path = (
        folder / Path(named).name
        if named and (folder / Path(named).name).is_file()
        else Path(named or folder / "video.mp4")
    )
    return picture(path) if path.suffix == ".png" else video(path)


def _run_facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    settings, versions = record.get("settings", {}), record.get("versions", {})
    shortcuts = []
    low, high = settings.get("cfg_truncate_steps"), settings.get("cfg_truncate_high_noise_steps")
    if low or high:
        shortcuts.append(f"CFG truncation {low} + {high} ({settings.get('cfg_truncate_mode')})")
    if settings.get("frame_completion"):
        positions = settings.get("frame_positions", "consecutive")  # runs made before there was a choice
        shortcuts.append(f"half-frame ({settings['frame_completion']}, {positions} positions)")
    scales = (
        f"{settings.get('low_noise_guidance_scale')} low noise, {settings.get('high_noise_guidance_scale')} high noise"
    )
    return [
        ("status", record.get("status", "unknown")),
        ("task", record.get("task", "")),
        ("seed", str(record.get("seed", ""))),
        ("size, frames", f"{'x'.join(map(str, settings.get('size', [])))}, {settings.get('frame_num')}"),
        ("solver", f"{settings.get('solver')}, {settings.get('steps')} steps, shift {settings.get('shift')}"),
        ("guidance", scales),
        ("shortcuts", "; ".join(shortcuts) or "none"),
        ("dtype, device", f"{settings.get('dtype')}, {versions.get('device', settings.get('device'))}"),
        ("checkpoint", str(record.get("checkpoint", {}).get("id", ""))[:16]),
        ("torch, diffusers", f"{versions.get('torch')}, {versions.get('diffusers')}"),
    ]


def _plan_table(plan: Mapping[str, Any]) -> str:
    header = ["step", "sigma", "timestep", "expert", "latent frames", "passes", "guidance"]
    rows = [
        [
            str(step["index"] + 1),
            f"{step['sigma']:.6f}",
            str(step["timestep"]),
            step["expert"].replace("_", " "),
            str(step["latent_frames"]),
            " + ".join(step["branches"]),
            step["guidance"],
        ]
        for step in plan["steps"]
    ]
    return folded("Every step", table(header, rows, numbers_from=9))


def _cost_table(record: Mapping[str, Any]) -> str:
    price = record["plan"]["price"]
    names = {
        "forwards": "forwards",
        "token_forwards": "token-forwards",
        "flops": "FLOPs (estimate)",
        "frame_steps": "frame-steps",
    }
    rows = [
        [label, _count(price["planned"][name]), _count(price["plain"][name]), f"{price['fraction'][name]:.3f}"]
        for name, label in names.items()
    ]
    executed = record.get("forwards", {}).get("executed", 0)
    cost = heading("Cost", level=3) + table(["", "this plan", "plain plan", "fraction"], rows)
    return cost + paragraph(f"forwards executed: {executed}", quiet=True)


def _timing_table(timing: Mapping[str, Any]) -> str:
    names = ("model_load", "text_encoding", "inference", "expert_switch", "decode", "save", "debug")
    rows = [[name.replace("_", " "), f"{timing[name]:.3f} s"] for name in names if name in timing]
    return heading("Time", level=3) + table(["", "seconds"], rows) if rows else ""


def _comparison_table(sides: Mapping[str, Mapping[str, Any]]) -> str:
    header = [
        "against the same-seed baseline",
        "cases",
        "PSNR dB (spread; worst)",
        "SSIM (worst)",
        "motion",
        "speed-up",
        "FLOPs",
    ]
    rows = []
    for side in sides.values():
        s = {name: {key: float(value) for key, value in entry.items()} for name, entry in side["summary"].items()}
        rows.append(
            [
                side["title"],
                str(len(side["cases"])),
                f"{s['psnr']['mean']:.2f} ({s['psnr']['std']:.2f}; {s['psnr']['worst']:.2f})",
                f"{s['ssim']['mean']:.4f} ({s['ssim']['worst']:.4f})",
                f"{s['motion_ratio']['mean']:.3f}",
                f"{s['speed_up']['mean']:.2f}x",
                f"{s['flops_fraction']['mean']:.3f}",
            ]
        )
    return table(header, rows)


def _worst_folder(folder: Path, side: Mapping[str, Any]) -> Path:
    cases = side["cases"]
    if len(cases) == 1:
        return folder
    worst = min(range(len(cases)), key=lambda index: float(cases[index]["measures"]["psnr"]))
    return folder / f"case_{worst + 1:02d}"


def _earlier_runs_section(folder: Path, data: Mapping[str, Any]) -> str:
    parts = [heading(f"Comparison of {Path(data['method']).name} with {Path(data['baseline']).name}")]
    parts += [
        video(folder / "side_by_side.mp4"),
        picture(folder / "contact_sheet.png"),
        picture(folder / "per_frame.png"),
    ]
    parts.append(preformatted((folder / "error_comparison.txt").read_text(encoding="utf-8")))
    return "\n".join(parts)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON ({error}): repeat the measurement") from error


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _count(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
