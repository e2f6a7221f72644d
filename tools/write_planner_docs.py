"""Write into docs/planner.md and its Chinese twin how tuning went, and how plans carry over to other settings.

python tools/benchmark.py arena --suite transfer-seeds     and so on, one suite after another
python tools/write_planner_docs.py arena_outputs

The first comes from the calibration of the demo model, the second from the results of the transfer suites.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.planning.stored import StoredPlan, read_calibration
from wan.runs import write_text_atomic
from wan.runs.provenance import CALIBRATION_NAME

NAME = "write_planner_docs.py"
DOCS = SOURCE_DIR / "docs"
TUNING = ("<!-- tuning:begin -->", "<!-- tuning:end -->")
TRANSFER = ("<!-- transfer:begin -->", "<!-- transfer:end -->")
CALIBRATION = SOURCE_DIR / "checkpoints" / "t2v-demo" / CALIBRATION_NAME
PLANS = ("plan of 14 steps", "plan of 10 steps", "plan of 7 steps")
SETTINGS: Mapping[str, tuple[str, str]] = {
    "transfer-seeds": ("other seeds", "其他随机种子"),
    "transfer-scale-up": ("guidance scales one higher (4, 5)", "引导系数各加 1（4、5）"),
    "transfer-scale-down": ("guidance scales one lower (2, 3)", "引导系数各减 1（2、3）"),
    "transfer-steps-16": ("16 plain steps", "普通运行 16 步"),
    "transfer-steps-30": ("30 plain steps", "普通运行 30 步"),
    "transfer-steps-40": ("40 plain steps", "普通运行 40 步"),
    "transfer-25-frames": ("25 frames", "25 帧"),
    "transfer-81-frames": ("81 frames", "81 帧"),
}
_TUNING_HEADERS = (
    "| budget | steps | estimated | made at the start | found | trials | PSNR of other clips, mean (worst) |",
    "| 预算 | 步数 | 估计 | 起点实测 | 找到的 | 试验次数 | 其他片段的 PSNR，平均（最差） |",
)
_HEADERS = (
    "| setting | clips | {} |",
    "| 设置 | 片段数 | {} |",
)
_COLUMNS = (("14 steps", "10 steps", "7 steps"), ("14 步", "10 步", "7 步"))
_NOTES = (
    "A cell: cost, our PSNR in dB (worst clip) against the plain run of that setting; the best peer of that cost.",
    "每格：代价，相对该设置下普通运行的 PSNR（dB，括号内为最差片段）；同等代价的最好对手（最差片段）。",
)
PAGES = (DOCS / "planner.md", DOCS / "planner.zh.md")


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("folder", type=Path, help="where the arenas' folders are")
    folder: Path = parser.parse_args(argv).folder
    found = {name: _results(folder / name) for name in SETTINGS if (folder / name / "results.json").is_file()}
    if not found:
        raise InvalidInput(
            f"{folder} holds no results of a transfer suite; run `bench arena --suite transfer-seeds` first"
        )
    plans = read_calibration(CALIBRATION).plans
    for language, page in enumerate(PAGES):
        text = page.read_text(encoding="utf-8")
        for made, (begin, end) in ((tuning_table(plans, language), TUNING), (table(found, language), TRANSFER)):
            text = replace_between(text, made, begin=begin, end=end)
        write_text_atomic(page, text)
        print(f"updated {page}")


def _results(folder: Path) -> dict[str, Any]:
    try:
        results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{folder}/results.json cannot be read ({error}); run the arena again") from None
    return results


def tuning_table(plans: Sequence[StoredPlan], language: int) -> str:
    """A row for every stored plan, from the dearest: what the surrogate promised, and what was made."""
    lines = [_TUNING_HEADERS[language], "|---|---:|---:|---:|---:|---:|---:|"]
    for plan in sorted(plans, key=lambda plan: -plan.budget):
        tuning, expected = plan.tuning, plan.expected
        assert expected is not None
        decibels = [f"{tuning[name]:.1f}" for name in ("estimated_objective_db", "start_objective_db", "objective_db")]
        lines.append(
            f"| {plan.budget:g} | {len(plan.steps)} | {' | '.join(decibels)} | {tuning['trials']:.0f} "
            f"| {expected.psnr:.1f} ({expected.psnr_worst:.1f}) |"
        )
    return "\n".join(lines)


def table(found: Mapping[str, Mapping[str, Any]], language: int) -> str:
    """A row for every setting, a column for every plan."""
    lines = [_HEADERS[language].format(" | ".join(_COLUMNS[language])), "|---|---:|---|---|---|"]
    for name, results in found.items():
        ours = {one["name"]: one for one in results["against_peers"]}
        cells = [_cell(ours.get(plan)) for plan in PLANS]
        lines.append(f"| {SETTINGS[name][language]} | {len(results['clips'])} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _NOTES[language]])


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    own = f"{one['cost']:.2f}: **{one['mean']:.1f}** ({one['worst']:.1f})"
    peer, worst = one["peer"], one["worst_peer"]
    return own if peer is None else f"{own}; {peer['family']} {peer['quality']:.1f} ({worst['quality']:.1f})"


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
