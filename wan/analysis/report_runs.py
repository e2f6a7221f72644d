"""Report sections about runs: one run, several side by side, a run that did not end well, the error analysis."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan.analysis.debug import ANALYSIS_FOLDER, ANALYSIS_NAME, CFG_FIGURE, REPORT_NAME, REUSE_FIGURE
from wan.analysis.page import (
    Section,
    alert,
    command_block,
    comparison_table,
    facts,
    folded,
    heading,
    link,
    paragraph,
    preformatted,
    row,
    side_by_side,
    table,
    verdict,
)
from wan.analysis.page_media import Media
from wan.analysis.plan_picture import plan_svg, plan_table
from wan.analysis.report_files import read_json
from wan.runs import LATENTS_NAME, load_record
from wan.runs.record import FAILED, FINISHED, INTERRUPTED, RUNNING
from wan.shortcuts import shortcut_label

_PHASES = ("model_load", "text_encoding", "image_encoding", "inference", "expert_switch", "decode", "save", "debug")
_ENDINGS = {
    FAILED: "The run ended with an error.",
    INTERRUPTED: "The run was stopped before its end.",
    RUNNING: "The run has not ended yet, or its process was killed.",
}


def run_section(folder: Path, media: Media, *, letter: str = "") -> Section:
    """One run: video, settings, cost, timing, plan, and how to make it again; ``letter`` is its name beside others."""
    record = load_record(folder)
    status = record.get("status", "unknown")
    parts = [paragraph(str(folder), quiet=True)]
    if status != FINISHED:
        parts.append(_unfinished(folder, record))
    parts.append(row([_video(folder, record, media), facts(_run_facts(record).items())]))
    if "plan" in record:
        parts += [heading("Plan"), plan_svg(record["plan"]), plan_table(record["plan"])]
        parts.append(row([_cost_table(record), _timing_table(record.get("timing", {}))]))
    parts += [paragraph(f"Note: {line}", quiet=True) for line in record.get("adjustments", [])]
    parts += [heading("Make it again"), command_block(record.get("command", "not recorded"))]
    parts.append(_error_analysis(record, media))
    title = f"{f'Run {letter}' if letter else 'Run'}: {record.get('prompt', folder.name)}"
    remark = f"seed {record.get('seed', 'unknown')}" + ("" if status == FINISHED else f", {status}")
    return Section(title=title, content="\n".join(parts), remark=remark)


def side_by_side_section(runs: Mapping[Path, str], media: Media) -> Section:
    """Several runs by their letters: the videos in a row, and a table with a column for each."""
    records = [load_record(folder) for folder in runs]
    videos = [
        _video(folder, record, media, caption=f"{letter}: {folder.name}")
        for (folder, letter), record in zip(runs.items(), records, strict=True)
    ]
    columns = [{"prompt": record.get("prompt", "")} | _run_facts(record) | _cost_facts(record) for record in records]
    rows = [
        (name, [column.get(name, "-") for column in columns]) for name in dict.fromkeys(k for c in columns for k in c)
    ]
    header = [link(media.anchors[folder.resolve()], f"run {letter}") for folder, letter in runs.items()]
    note = paragraph("≠ and bold type mark what is not the same in all runs.", quiet=True)
    return Section(title="Runs side by side", content=side_by_side(videos) + comparison_table(header, rows) + note)


def debug_section(folder: Path, media: Media) -> Section:
    """The error analysis of a debug run: findings, figures, report."""
    analysis = folder / ANALYSIS_FOLDER
    data = read_json(analysis / ANALYSIS_NAME)
    parts = [paragraph(str(folder), quiet=True)]
    for finding in data["findings"]:
        parts.append(verdict(finding["verdict"].lower(), finding["claim"], good=finding["confirmed"]))
        parts.append(paragraph(finding["measured"], quiet=True))
    parts.append(media.show(analysis / CFG_FIGURE, "size and change of the CFG difference"))
    parts.append(media.show(analysis / REUSE_FIGURE, "how an old CFG difference ages"))
    parts.append(folded("The report in full", preformatted((analysis / REPORT_NAME).read_text(encoding="utf-8"))))
    return Section(title=f"CFG error analysis: {data['run'].get('prompt', '')}", content="\n".join(parts))


def _error_analysis(record: Mapping[str, Any], media: Media) -> str:
    """The error analysis of a run inside its section, or a link when the folder has a section of its own."""
    named = record.get("outputs", {}).get("debug_outputs")
    if not named or not (Path(named) / ANALYSIS_FOLDER / ANALYSIS_NAME).is_file():
        return ""
    anchor = media.place(Path(named))
    if anchor is not None:
        return f"<p>{link(anchor, 'The CFG error analysis of this run')}</p>"
    section = debug_section(Path(named), media)
    return heading("CFG error analysis") + section.content


def _unfinished(folder: Path, record: Mapping[str, Any]) -> str:
    """What went wrong, and what was kept of the run."""
    status, outputs = record.get("status", "unknown"), record.get("outputs", {})
    lines = [_ENDINGS.get(status, "The record does not say how the run ended.")]
    lines += [record["error"]] if "error" in record else []
    steps = len(record.get("plan", {}).get("steps", ()))
    if "partial_latents" in outputs:
        lines.append(f"Kept: the latents after step {outputs['steps_done']} of {steps}, {outputs['partial_latents']}")
    elif (folder / LATENTS_NAME).is_file():
        lines.append(f"Kept: the latents after the last step, {folder / LATENTS_NAME}")
    elif status != RUNNING:
        lines.append("Nothing was kept: the run did not finish a step.")
    return alert(status, lines)


def _video(folder: Path, record: Mapping[str, Any], media: Media, *, caption: str = "") -> str:
    named = record.get("outputs", {}).get("video")
    if named is None and record.get("status") != FINISHED:
        return paragraph(f"{caption}; no video" if caption else "no video", quiet=True)
    moved = folder / Path(named or "video.mp4").name
    size = record.get("settings", {}).get("size")
    return media.show(
        moved if moved.is_file() or named is None else Path(named),
        caption,
        size=(int(size[0]), int(size[1])) if size else None,
    )


def _run_facts(record: Mapping[str, Any]) -> dict[str, str]:
    settings, versions = record.get("settings", {}), record.get("versions", {})
    scales = (
        f"{settings.get('low_noise_guidance_scale')} low noise, {settings.get('high_noise_guidance_scale')} high noise"
    )
    return {
        "status": record.get("status", "unknown"),
        "task": record.get("task", ""),
        "seed": str(record.get("seed", "")),
        "size, frames": f"{'x'.join(map(str, settings.get('size', [])))}, {settings.get('frame_num')}",
        "solver": f"{settings.get('solver')}, {settings.get('steps')} steps, shift {settings.get('shift')}",
        "guidance": scales,
        "shortcuts": shortcut_label(settings),
        "dtype, device": f"{settings.get('dtype')}, {versions.get('device', settings.get('device'))}",
        "checkpoint": str(record.get("checkpoint", {}).get("id", ""))[:16],
        "torch, diffusers": f"{versions.get('torch')}, {versions.get('diffusers')}",
    }


def _cost_facts(record: Mapping[str, Any]) -> dict[str, str]:
    """Cost and time of a run, as far as it came."""
    found, timing = {}, record.get("timing", {})
    if "plan" in record:
        found["FLOPs, fraction of the plain plan"] = f"{_flops_fraction(record):.3f}"
    if "forwards" in record:
        found["forwards, executed of planned"] = f"{record['forwards']['executed']} of {record['forwards']['planned']}"
    if "inference" in timing:
        found["pure inference"] = f"{timing['inference']:.3f} s"
        found["all phases"] = f"{sum(timing[name] for name in _PHASES if name in timing):.3f} s"
    return found


def _flops_fraction(record: Mapping[str, Any]) -> float:
    """As planned, or as executed where a cache decided while sampling."""
    price, forwards = record["plan"]["price"], record.get("forwards", {})
    if forwards.get("planned_is_upper_bound") and "executed_flops" in forwards:
        return float(forwards["executed_flops"] / price["plain"]["flops"])
    return float(price["fraction"]["flops"])


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
    cost = heading("Cost") + table(["", "this plan", "plain plan", "fraction"], rows)
    return cost + paragraph(f"forwards executed: {executed}", quiet=True)


def _timing_table(timing: Mapping[str, Any]) -> str:
    rows = [[name.replace("_", " "), f"{timing[name]:.3f}"] for name in _PHASES if name in timing]
    return heading("Time") + table(["", "seconds"], rows) if rows else ""


def _count(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
