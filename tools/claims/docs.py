"""The measured claims as Markdown and as figures."""

from collections.abc import Sequence
from pathlib import Path

from claims.row import Row
from claims.run import Measurements
from wan.analysis.comparison import summarise
from wan.analysis.comparison_plots import plot_cases, plot_contact_sheet
from wan.analysis.continuity_plots import plot_continuity, plot_switch
from wan.analysis.guidance_plots import plot_cfg_error, plot_reuse
from wan.instruments.methods import BASELINE

_HEADERS = (
    ("claim", "measured", "confirmed when", "verdict", "command"),
    ("论断", "本项目实测", "成立的条件", "结论", "命令"),
)
_METHOD_HEADERS = (
    "| method | forwards | FLOPs | PSNR dB ± std (median; worst) | SSIM (worst) | kept / filled dB | motion |",
    "| 方法 | 前传次数 | FLOPs | PSNR dB ± 标准差（中位数；最差） | SSIM（最差） | 保留 / 补全帧 dB | 运动量比 |",
)
_SHEETS = {
    "CFG 5 + 3, decay": "worst-cfg.png",
    "half-frame, repeat": "worst-half-frame.png",
    "half-frame, improved, CFG 5 + 3, decay": "worst-combined.png",
}


def markdown_table(rows: Sequence[Row], language: int) -> str:
    """The table of claims; language 0 is English, 1 Chinese."""
    header = _HEADERS[language]
    lines = [f"| {' | '.join(header)} |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.claim[language]} | {row.measured[language]} | {row.rule[language]} | **{row.verdict[language]}** "
        f"| `{row.command}` |"
        for row in rows
    ]
    return "\n".join(lines)


def method_table(found: Measurements, language: int) -> str:
    """Every method and control over all cases."""
    lines = [_METHOD_HEADERS[language], "|---|---|---|---|---|---|---|"]
    for name, results in found.results.items():
        s = summarise(results)
        kept = f"{s['kept_psnr'].mean:.1f} / {s['filled_psnr'].mean:.1f}" if "kept_psnr" in s else "-"
        psnr, ssim, motion = s["psnr"], s["ssim"], s["motion_ratio"]
        lines.append(
            f"| {name} | {results[0].cost.forwards} | {s['flops_fraction'].mean:.3f} | {psnr.mean:.1f} ± "
            f"{psnr.std:.1f} ({psnr.median:.1f}; {psnr.worst:.1f}) | {ssim.mean:.3f} ({ssim.worst:.3f}) | {kept} | "
            f"{motion.mean:.2f} |"
        )
    count = len(next(iter(found.results.values())))
    note = (
        f"{count} cases (prompts x seeds), demo model, same seed on both methods.",
        f"共 {count} 例（提示词 × 随机种子），演示模型，两侧种子相同。",
    )
    return "\n".join([note[language], "", *lines])


def write_figures(folder: Path, found: Measurements) -> None:
    """The figures of docs/experiments.md: error analysis and continuity of the first case, all cases, worst cases."""
    first = next(iter(found.results.values()))[0]
    title = f"{first.prompt!r}, seed {first.seed}, demo model"
    steps = found.analyses[0].steps
    plot_cfg_error(folder / "cfg-error.png", steps, title=title)
    plot_reuse(folder / "cfg-reuse.png", steps, title=title)
    shown = (BASELINE, "half-frame, repeat", "half-frame, improved")
    runs = {name: found.continuity[name][0] for name in shown}
    for space in ("x_t", "x0"):
        plot_continuity(folder / f"continuity-{space.replace('_', '')}.png", runs, space, title=title)
    plot_switch(folder / "expert-switch.png", runs, title=title)
    names = {name.replace(", ", "\n"): results for name, results in found.results.items()}
    count = len(next(iter(found.results.values())))
    plot_cases(folder / "all-cases.png", names, title=f"{count} cases against their same-seed baseline, demo model")
    for name, file in _SHEETS.items():
        worst = found.worst[name]
        psnrs = worst.result.psnrs
        sheet = f"worst of {count}: {worst.result.prompt!r}, seed {worst.result.seed}, "
        sheet += f"{worst.result.measures['psnr']:.1f} dB over all frames"
        plot_contact_sheet(folder / file, worst.method, worst.baseline, name=name, psnrs=psnrs, title=sheet)
