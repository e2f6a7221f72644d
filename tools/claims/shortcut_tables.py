"""What tools/measure_shortcuts.py measured, as Markdown."""

from typing import Any

SPAN_END = " steps, "  # between the truncated steps (low + high noise) and the mode in a variant's name


def format_result(result: dict[str, Any]) -> str:
    """Markdown tables for the docs; the long ones folded where a short one says the most."""
    base = result["baseline"]
    headline = (
        f"{result['clips']} clips (seeds {', '.join(map(str, result['seeds']))}); baseline: {base['forwards']} "
        f"forwards, motion right {base['motion']:.2f}, all four right {base['all_four']:.2f}"
    )
    glance, everything = mode_table(result["variants"]), _full_tables(result["variants"])
    if glance:
        everything = ["<details><summary>Every variant</summary>", "", *everything, "", "</details>"]
    return "\n".join([headline, *glance, "", *everything])


def _full_tables(variants: dict[str, Any]) -> list[str]:
    """Every variant with all measures, then its PSNR by motion."""
    lines = [
        "| variant | forwards | FLOPs | PSNR dB (spread, worst) | SSIM | kept / filled dB | motion ratio "
        "| motion right | all right |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in variants.items():
        lines.append(
            f"| {name} | {row['forwards']} | {row['flops_fraction']:.3f} | {row['psnr']:.1f} ({row['psnr_std']:.1f}, "
            f"{row['psnr_worst']:.1f}) | {row['ssim']:.3f} | {row['psnr_kept']:.1f} / {row['psnr_filled']:.1f} "
            f"| {row['motion_ratio']:.2f} | {row['motion_right']:.2f} | {row['all_right']:.2f} |"
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
        found = (cells[span, mode] for span in spans)
        texts = [f"{row['psnr']:.1f} ({row['psnr_worst']:.1f})" for row in found]
        lines.append(f"| {mode} | {' | '.join(texts)} |")
    return lines
