"""Write an arena's results into the documents: the first table of the READMEs, docs/benchmarks.md and docs/planner.md.

python tools/benchmark.py arena --suite full
python tools/write_arena_docs.py arena_outputs/full
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from door import run_tool, tool_parser
from claims.documents import replace_between
from claims.sample import MIN_CLIPS
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.runs import write_text_atomic

NAME = "write_arena_docs.py"
DOCS = SOURCE_DIR / "docs"
READMES = (SOURCE_DIR / "README.md", SOURCE_DIR / "README.zh.md")
CAPTIONS = ("Quality against cost", "质量与代价")
PAGES: Mapping[Path, str] = {
    DOCS / "benchmarks.md": CAPTIONS[0],
    DOCS / "planner.md": CAPTIONS[0],
    DOCS / "planner.zh.md": CAPTIONS[1],
}
FIGURE = DOCS / "images" / "arena.png"
BEGIN, END = "<!-- arena:begin -->", "<!-- arena:end -->"
FEWER = ("fewer steps (UniPC)", "fewer steps (DPM++)")
_TEXTS: tuple[Mapping[str, str], ...] = (
    {
        "header": "| on the demo model, {clips} held-out clips | cost | PSNR dB (worst) | motion | "
        "best peer of that cost: PSNR (worst) | plain steps of that cost |",
        "seed": "another seed of the same prompt (nothing in common)",
        "steps": "{steps}: {psnr}",
        "note": "Cost: FLOPs that the transformer blocks executed, over those of the plain 20 steps. PSNR against the "
        "same-seed plain run. Peers: SeaCache, MagCache, FirstBlockCache, TaylorSeer, FasterCache, "
        "PyramidAttentionBroadcast and fewer plain steps, each at its best setting, between two settings linear in "
        "cost; `python tools/benchmark.py arena --suite full`.",
    },
    {
        "header": "| 演示模型，{clips} 个未参与训练的片段 | 代价 | PSNR dB（最差） | 运动量比 "
        "| 同等代价的最好同类方法：PSNR（最差） | 同等代价的普通采样 |",
        "seed": "同一提示词的另一随机种子（毫无共同之处）",
        "steps": "{steps}: {psnr}",
        "note": "代价：Transformer块实际执行的FLOPs，与普通的20步之比。"
        "PSNR以同一随机种子的普通采样为基准。同类方法：SeaCache、MagCache、"
        "FirstBlockCache、TaylorSeer、FasterCache、PyramidAttentionBroadcast和减少步数，"
        "各取最好的设置，两个设置之间按代价线性插值；"
        "`python tools/benchmark.py arena --suite full`。",
    },
)


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("folder", type=Path, help="an arena's folder, with results.json, results.md and arena.png")
    folder: Path = parser.parse_args(argv).folder
    results = read_results(folder)
    for language, page in enumerate(READMES):
        _write(page, f"{readme_table(results, language)}\n\n![{CAPTIONS[language]}](docs/images/{FIGURE.name})")
    tables = (folder / "results.md").read_text(encoding="utf-8").strip()
    shutil.copyfile(folder / "arena.png", FIGURE)
    for page, caption in PAGES.items():
        _write(page, f"{tables}\n\n![{caption}](images/{FIGURE.name})")


def read_results(folder: Path) -> dict[str, Any]:
    """The results; ``InvalidInput`` when there are none, or of too few clips for a document."""
    try:
        results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{folder} holds no results.json that can be read ({error}); run the arena first") from None
    if len(results["clips"]) < MIN_CLIPS:
        raise InvalidInput(f"{folder} has {len(results['clips'])} clips, and a table needs at least {MIN_CLIPS}")
    return results


def readme_table(results: Mapping[str, Any], language: int) -> str:
    """Our plans beside what else their cost would buy."""
    texts = _TEXTS[language]
    by_name = {row["name"]: row for row in results["methods"]}
    lines = [texts["header"].format(clips=len(results["clips"])), "|---|---|---|---|---|---|"]
    for one in sorted(results["against_peers"], key=lambda one: -one["cost"]):
        row = by_name[one["name"]]
        lines.append(
            f"| `--{one['name']}` | {one['cost']:.2f} | **{one['mean']:.1f}** ({one['worst']:.1f}) "
            f"| {row['motion_ratio']:.2f} | {_peer(one)} | {_fewer_steps(results, one['cost'], texts)} |"
        )
    seed = by_name["another seed"]
    lines.append(
        f"| {texts['seed']} | 1.00 | {seed['psnr']:.1f} ({seed['psnr_worst']:.1f}) | {seed['motion_ratio']:.2f} | | |"
    )
    return "\n".join([*lines, "", texts["note"]])


def _peer(one: Mapping[str, Any]) -> str:
    peer, worst = one["peer"], one["worst_peer"]
    if peer is None or worst is None:
        return "-"
    return f"{peer['family']}: {peer['quality']:.1f} ({worst['quality']:.1f})"


def _fewer_steps(results: Mapping[str, Any], cost: float, texts: Mapping[str, str]) -> str:
    """The better of both solvers at the step count nearest to the cost."""
    rows = [row for row in results["methods"] if row["family"] in FEWER and row["cost"] is not None]
    nearest = min(abs(row["cost"] - cost) for row in rows)
    best = max((row for row in rows if abs(row["cost"] - cost) <= nearest + 1e-6), key=lambda row: row["psnr"])
    return texts["steps"].format(steps=best["name"], psnr=f"{best['psnr']:.1f} ({best['psnr_worst']:.1f})")


def _write(page: Path, text: str) -> None:
    try:
        write_text_atomic(page, replace_between(page.read_text(encoding="utf-8"), text, begin=BEGIN, end=END))
    except ValueError as error:
        raise InvalidInput(f"{page} {error}; restore them") from None
    print(f"updated {page}")


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
