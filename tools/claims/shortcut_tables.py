"""What tools/measure_shortcuts.py measured, as Markdown."""

from typing import Any

from wan.analysis.measures import HEADLINES, MEASURES

SPAN_END = " steps, "  # between the truncated steps (low + high noise) and the mode in a variant's name
# timing needs an idle machine and many repeats: it is the business of docs/benchmarks.md
_COLUMNS = [MEASURES[name] for name in HEADLINES if name != "speed_up"]


def format_result(result: dict[str, Any]) -> str:
    """Markdown tables for the docs; the long ones folded where a short one says the most."""
    base = result["baseline"]
    headline = (
        f"{result['clips']} clips (seeds {', '.join(map(str, result['seeds']))}); baseline: {base['forwards']} "
        f"forwards, motion right {base['motion_right']:.2f}, all four right {base['all_right']:.2f}"
    )
    glance, everything = mode_table(result["variants"]), _full_tables(result["variants"])
    if glance:
        everything = ["<details><summary>Every variant</summary>", "", *everything, "", "</details>"]
    return "\n".join([headline, *glance, "", *everything])


def _full_tables(variants: dict[str, Any]) -> list[str]:
    """Every variant with the headline measures, then its PSNR by motion."""
    columns = [f"{row.label[0]}{row.unit and f' {row.unit}'}" for row in _COLUMNS]
    columns[0] += " (spread; worst)"
    lines = [
        f"| variant | forwards | {' | '.join(columns)} | kept / filled dB | motion right | all right |",
        f"|---|---|{'---|' * len(columns)}---|---|---|",
    ]
    for name, row in variants.items():
        cells = " | ".join(_cell(row["measures"], column.name, index) for index, column in enumerate(_COLUMNS))
        lines.append(
            f"| {name} | {row['forwards']} | {cells} | {_parts(row['measures'])} | {row['motion_right']:.2f} "
            f"| {row['all_right']:.2f} |"
        )
    motions = list(next(iter(variants.values()))["psnr_by_motion"])
    lines += ["", f"| PSNR dB | {' | '.join(motions)} |", f"|---{'|---' * len(motions)}|"]
    for name, row in variants.items():
        cells = " | ".join(f"{row['psnr_by_motion'][motion]:.1f}" for motion in motions)
        lines.append(f"| {name} | {cells} |")
    return lines


def mode_table(variants: dict[str, Any]) -> list[str]:
    """The cfg suite at a glance: a row per mode, a column per span of truncated steps, mean PSNR and the worst."""
    cells = {tuple(name.split(SPAN_END)): row for name, row in variants.items() if SPAN_END in name}
    spans, modes = (list(dict.fromkeys(key[part] for key in cells)) for part in (0, 1))
    if len(spans) < 2:
        return []
    lines = ["", f"| PSNR dB (worst) | {' | '.join(spans)} |", f"|---{'|---' * len(spans)}|"]
    for mode in modes:
        found = (cells[span, mode]["measures"]["psnr"] for span in spans)
        texts = [f"{psnr['mean']:.1f} ({psnr['worst']:.1f})" for psnr in found]
        lines.append(f"| {mode} | {' | '.join(texts)} |")
    return lines


def _cell(measures: dict[str, Any], name: str, index: int) -> str:
    spread, form = measures[name], MEASURES[name].form
    if index == 0:
        return f"{spread['mean']:.1f} ({spread['std']:.1f}; {spread['worst']:.1f})"
    return f"{spread['mean']:{form}}"


def _parts(measures: dict[str, Any]) -> str:
    if "kept_psnr" not in measures:
        return "-"
    return f"{measures['kept_psnr']['mean']:.1f} / {measures['filled_psnr']['mean']:.1f}"
