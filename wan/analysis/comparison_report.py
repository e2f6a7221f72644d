"""``error_comparison.txt``: the comparison in words, in the form that the seeds' documents give it."""

from collections.abc import Mapping, Sequence

from wan.analysis.comparison import CaseResult, Spread, Verdict, summarise, verdicts, worst_case

RULE = "=" * 64


def format_method(title: str, results: Sequence[CaseResult], *, against: str = "Baseline方法 (baseline)") -> str:
    """The report of one method; means over the cases when there are several."""
    summary = summarise(results)
    lines = [f"📊 {title} vs {against} 误差分析报告 (error report)", RULE, _cases_line(results)]
    lines += _error_lines(summary) + _quality_lines(summary) + _motion_lines(summary)
    lines += _cost_lines(results, summary) + _verdict_lines(verdicts(summary))
    if len(results) > 1:
        lines += _case_table(results)
    return "\n".join(lines)


def format_controls(controls: Mapping[str, Sequence[CaseResult]]) -> str:
    """One line per control: what the numbers above should be held against."""
    lines = ["🧪 对照 (controls)", RULE]
    for title, results in controls.items():
        summary = summarise(results)
        lines.append(
            f"   {title:<52} PSNR {_decibel(summary['psnr'].mean):>9}   SSIM {summary['ssim'].mean:.4f}   "
            f"speed-up {summary['speed_up'].mean:.2f}x   FLOPs {summary['flops_fraction'].mean:.3f}"
        )
    return "\n".join(lines)


def _cases_line(results: Sequence[CaseResult]) -> str:
    if len(results) == 1:
        return f"{results[0].prompt!r}, seed {results[0].seed}"
    return f"{len(results)} cases (prompts x seeds): mean ± standard deviation, worst case"


def _error_lines(summary: Mapping[str, Spread]) -> list[str]:
    return [
        "🔍 绝对误差 (Absolute Error), |method - baseline|, pixels in [0, 1]:",
        f"   平均值 (mean): {_value(summary['absolute_error_mean'])}",
        f"   最大值 (max): {_value(summary['absolute_error_max'])}",
        f"   标准差 (std): {_value(summary['absolute_error_std'])}",
        "🔍 相对误差 (Relative Error), |method - baseline| / (|baseline| + 1/255):",
        f"   平均值 (mean): {_value(summary['relative_error_mean'])}",
        f"   最大值 (max): {_value(summary['relative_error_max'])}",
    ]


def _quality_lines(summary: Mapping[str, Spread]) -> list[str]:
    lines = [
        "📏 图像质量指标 (image quality):",
        f"   MSE: {_value(summary['mse'], '.6g')}",
        f"   PSNR: {_value(summary['psnr'], '.2f')} dB",
        f"   SSIM: {_value(summary['ssim'])}",
    ]
    for name, label in (("kept", "保留帧 (kept frames)"), ("filled", "补全帧 (filled frames)")):
        if f"{name}_psnr" in summary:
            psnr, ssim = summary[f"{name}_psnr"], summary[f"{name}_ssim"]
            lines.append(f"   {label}: PSNR {_value(psnr, '.2f')} dB, SSIM {_value(ssim)}")
    return lines


def _motion_lines(summary: Mapping[str, Spread]) -> list[str]:
    return [
        "🎬 时序 (motion):",
        f"   帧差误差 (MSE of the frame differences): {_value(summary['temporal_difference_error'], '.6g')}",
        f"   运动量比 (motion, relative to the baseline; 0 = frozen): {_value(summary['motion_ratio'], '.3f')}",
    ]


def _cost_lines(results: Sequence[CaseResult], summary: Mapping[str, Spread]) -> list[str]:
    cost, baseline = results[0].cost, results[0].baseline_cost
    seconds = [sum(r.cost.inference_seconds for r in results), sum(r.baseline_cost.inference_seconds for r in results)]
    method_seconds, baseline_seconds = (total / len(results) for total in seconds)
    lines = [
        "⚡ 代价 (cost), method / baseline:",
        f"   forwards: {cost.forwards} / {baseline.forwards}",
        f"   token-forwards: {cost.token_forwards:,} / {baseline.token_forwards:,}",
        f"   FLOPs (estimate): {cost.flops:.4g} / {baseline.flops:.4g} = {cost.flops / baseline.flops:.3f}",
        f"   pure inference: {method_seconds:.3f} s / {baseline_seconds:.3f} s, speed-up "
        f"{_value(summary['speed_up'], '.2f')}x (by FLOPs {baseline.flops / cost.flops:.2f}x)",
    ]
    if results[0].divergence:
        final = [result.divergence[-1] for result in results]
        lines.append(f"   relative difference of the final latents: {sum(final) / len(final):.4f}")
    return lines


def _verdict_lines(found: Sequence[Verdict]) -> list[str]:
    lines = ["⚖️ 判定 (verdict), the thresholds of the seeds' documents:"]
    for verdict in found:
        lines.append(f"   {'✅ met    ' if verdict.met else '❌ NOT met'}  {verdict.rule}: {verdict.measured}")
    return lines


def _case_table(results: Sequence[CaseResult]) -> list[str]:
    lines = ["📋 各例 (cases):", f"   {'PSNR dB':>9}  {'SSIM':>7}  {'motion':>7}  {'seed':>6}  prompt"]
    worst = worst_case(results)
    for position, result in enumerate(results):
        measures = result.measures
        mark = "   <- worst" if position == worst else ""
        lines.append(
            f"   {measures.psnr:>9.2f}  {measures.ssim:>7.4f}  {measures.motion_ratio:>7.3f}  "
            f"{result.seed:>6}  {result.prompt}{mark}"
        )
    return lines


def _value(spread: Spread, form: str = ".6f") -> str:
    if spread.std == 0.0 and spread.worst == spread.mean:
        return format(spread.mean, form)
    return f"{spread.mean:{form}} ± {spread.std:{form}}, worst {spread.worst:{form}}"


def _decibel(value: float) -> str:
    return f"{value:.2f} dB"
