"""``error_comparison.txt``: the comparison in words, in the form that the founding documents give it."""

from collections.abc import Mapping, Sequence

from wan.analysis.comparison import CaseResult, Verdict, Yardsticks, summarise, verdicts, worst_case
from wan.analysis.measures import HEADLINES, MEASURES, SECTIONS, Measure, Spread

RULE = "=" * 64
_MARKS = {True: "✅ met    ", False: "❌ NOT met", None: "❓ unknown"}


def format_method(
    title: str,
    results: Sequence[CaseResult],
    *,
    against: str = "Baseline方法 (baseline)",
    yardsticks: Yardsticks = Yardsticks(),
) -> str:
    """The report of one method; means over the cases when there are several."""
    summary = summarise(results)
    lines = [f"📊 {title} vs {against} 误差分析报告 (error report)", RULE, _cases_line(results)]
    for section, heading in SECTIONS.items():
        lines.append(heading)
        rows = [row for row in MEASURES.values() if row.section == section and row.name in summary]
        lines += [f"   {_heading(row)}: {_value(row, summary[row.name])}" for row in rows]
    lines += _cost_lines(results) + _verdict_lines(verdicts(summary, yardsticks))
    if len(results) > 1:
        lines += _case_table(results)
    return "\n".join(lines)


def format_controls(controls: Mapping[str, Sequence[CaseResult]]) -> str:
    """One line per control: what the numbers above should be held against."""
    lines = ["🧪 对照 (controls)", RULE]
    for title, results in controls.items():
        summary = summarise(results)
        cells = [f"{MEASURES[name].label[0]} {MEASURES[name].text(summary[name].mean)}" for name in HEADLINES]
        lines.append(f"   {title:<52} {'   '.join(cells)}")
    return "\n".join(lines)


def _cases_line(results: Sequence[CaseResult]) -> str:
    if len(results) == 1:
        return f"{results[0].prompt!r}, seed {results[0].seed}"
    return f"{len(results)} cases (prompts x seeds): mean ± standard deviation, worst case"


def _cost_lines(results: Sequence[CaseResult]) -> list[str]:
    cost, baseline = results[0].cost, results[0].baseline_cost
    seconds = [sum(r.cost.inference_seconds for r in results), sum(r.baseline_cost.inference_seconds for r in results)]
    method_seconds, baseline_seconds = (total / len(results) for total in seconds)
    lines = [
        f"   forwards: {cost.forwards} / {baseline.forwards}",
        f"   token-forwards: {cost.token_forwards:,} / {baseline.token_forwards:,}",
        f"   FLOPs (estimate): {cost.flops:.4g} / {baseline.flops:.4g}, speed-up by FLOPs "
        f"{baseline.flops / cost.flops:.2f}x",
        f"   pure inference: {method_seconds:.3f} s / {baseline_seconds:.3f} s",
    ]
    if results[0].divergence:
        final = [result.divergence[-1] for result in results]
        lines.append(f"   relative difference of the final latents: {sum(final) / len(final):.4f}")
    return lines


def _verdict_lines(found: Sequence[Verdict]) -> list[str]:
    lines = ["⚖️ 判定 (verdict): the founding documents' thresholds, and the controls:"]
    return lines + [f"   {_MARKS[verdict.met]}  {verdict.rule}: {verdict.measured}" for verdict in found]


def _case_table(results: Sequence[CaseResult]) -> list[str]:
    columns = [MEASURES[name] for name in ("psnr", "ssim", "motion_ratio")]
    header = "  ".join(f"{row.name:>12}" for row in columns)
    lines = ["📋 各例 (cases):", f"   {header}  {'seed':>6}  prompt"]
    worst = worst_case(results)
    for position, result in enumerate(results):
        cells = "  ".join(f"{row.text(result.measures[row.name]):>12}" for row in columns)
        mark = "   <- worst" if position == worst else ""
        lines.append(f"   {cells}  {result.seed:>6}  {result.prompt}{mark}")
    return lines


def _heading(row: Measure) -> str:
    english, chinese = row.label
    return english if english == chinese else f"{chinese} ({english})"


def _value(row: Measure, spread: Spread) -> str:
    if spread.std == 0.0 and spread.worst == spread.mean:
        return row.text(spread.mean)
    return f"{row.text(spread.mean)} ± {spread.std:{row.form}}, worst {spread.worst:{row.form}}"
