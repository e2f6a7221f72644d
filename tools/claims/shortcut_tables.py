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


README_METHODS = ("CFG truncation 5 + 3", "half-frame, interpolate, spread", "both")
_README = (
    {
        "header": "| on the demo model, {clips} held-out clips | FLOPs | PSNR dB (worst) | SSIM | motion "
        "| plain steps of the same cost |",
        "floor": "another seed of the same prompt (nothing in common)",
        "names": README_METHODS,
        "steps": "{steps} of {full}: {psnr}",
        "note": "Same seed on both sides; `python tools/measure_shortcuts.py --suite readme`. Motion is that of the "
        "method over that of the baseline.",
    },
    {
        "header": "| 演示模型，{clips} 个未参与训练的片段 | FLOPs | PSNR dB（最差） | SSIM | 运动量比 "
        "| 同等代价的普通采样 |",
        "floor": "同一提示词的另一随机种子（毫无共同之处）",
        "names": ("CFG截断 5 + 3", "帧截断，interpolate，spread", "两者同时"),
        "steps": "{full} 步减到 {steps} 步：{psnr}",
        "note": "两侧随机种子相同；命令：`python tools/measure_shortcuts.py --suite readme`。运动量比以基线为 1。",
    },
)


def readme_table(result: dict[str, Any], language: int) -> str:
    """The first table of a README: each shortcut beside the plain steps that cost the same; 0 English, 1 Chinese."""
    text, variants = _README[language], dict(result["variants"])
    floor = next(iter(variants.values()))
    full = result["baseline"]["forwards"] // 2
    lines = [str(text["header"]).format(clips=result["clips"]), "|---|---|---|---|---|---|"]
    for name, title in zip(README_METHODS, text["names"], strict=True):
        row = variants[name]["measures"]
        steps = max(1, round(full * row["flops_fraction"]["mean"]))
        control = _short_psnr(variants[f"{steps} steps"]["measures"])
        other = str(text["steps"]).format(steps=steps, full=full, psnr=control)
        lines.append(f"| {title} | {_short_cells(row)} | {other} |")
    lines.append(f"| {text['floor']} | {_short_cells(floor['measures'])} | |")
    return "\n".join([*lines, "", str(text["note"])])


def _short_cells(measures: dict[str, Any]) -> str:
    flops, ssim, motion = (measures[name]["mean"] for name in ("flops_fraction", "ssim", "motion_ratio"))
    return f"{flops:.2f} | {_short_psnr(measures)} | {ssim:.3f} | {motion:.2f}"


def _short_psnr(measures: dict[str, Any]) -> str:
    return f"{measures['psnr']['mean']:.1f} ({measures['psnr']['worst']:.1f})"


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
