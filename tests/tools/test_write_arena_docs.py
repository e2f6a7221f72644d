"""The arena's tables in the documents: what a row says, which results are refused, and where they are written."""

import json
from pathlib import Path
from typing import Any

import pytest

import write_arena_docs
from wan.errors import InvalidInput
from write_arena_docs import BEGIN, END, PAGES, READMES, read_results, readme_table


def results(clips: int = 36) -> dict[str, Any]:
    def row(name: str, family: str, cost: float, psnr: float) -> dict[str, Any]:
        return {
            "name": name, "family": family, "cost": cost, "psnr": psnr, "psnr_worst": psnr - 10, "motion_ratio": 0.98
        }  # fmt: skip

    peer = {"family": "SeaCache", "quality": 36.25, "lower": "SeaCache .5"}
    return {
        "clips": [{}] * clips,
        "methods": [
            row("another seed", "plain", 1.0, 19.0),
            row("UniPC 10 steps", "fewer steps (UniPC)", 0.5, 28.0),
            row("DPM++ 10 steps", "fewer steps (DPM++)", 0.5, 29.0),
            row("UniPC 14 steps", "fewer steps (UniPC)", 0.7, 39.0),
            row("budget 0.5", "budget", 0.5, 44.0),
        ],
        "against_peers": [
            {
                "name": "budget 0.5",
                "cost": 0.5,
                "mean": 44.0,
                "worst": 24.5,
                "peer": peer,
                "worst_peer": peer | {"quality": 25.5},
            }
        ],
    }


def test_a_row_holds_ours_the_best_peer_and_the_better_solver_of_that_cost() -> None:
    row = readme_table(results(), 0).splitlines()[2]
    assert row == (
        "| `--budget 0.5` | 0.50 | **44.0** (24.5) | 0.98 | SeaCache: 36.2 (25.5) | DPM++ 10 steps: 29.0 (19.0) |"
    )
    assert readme_table(results(), 1).splitlines()[2] == row


def test_no_peer_of_that_cost_is_a_dash() -> None:
    found = results()
    found["against_peers"][0] |= {"peer": None, "worst_peer": None}
    assert "| - |" in readme_table(found, 0)


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "run the arena first"), ("{", "run the arena first"), (9, "at least 32")]
)
def test_results_that_make_no_table_are_refused(tmp_path: Path, content: str | int | None, sentence: str) -> None:
    if content is not None:
        text = json.dumps(results(content)) if isinstance(content, int) else content
        (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=sentence):
        read_results(tmp_path)


def test_every_page_has_the_place_to_write_to() -> None:
    for page in (*READMES, *PAGES):
        text = page.read_text(encoding="utf-8")
        assert text.count(BEGIN) == text.count(END) == 1, page


def test_tables_and_figure_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results.json").write_text(json.dumps(results()), encoding="utf-8")
    (tmp_path / "results.md").write_text("the tables", encoding="utf-8")
    (tmp_path / "arena.png").write_bytes(b"figure")
    pages = [tmp_path / name for name in ("a.md", "b.md", "c.md")]
    for page in pages:
        page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(write_arena_docs, "READMES", tuple(pages[:2]))
    monkeypatch.setattr(write_arena_docs, "PAGES", {pages[2]: "caption"})
    monkeypatch.setattr(write_arena_docs, "FIGURE", tmp_path / "copied.png")
    write_arena_docs.main([str(tmp_path)])
    assert (tmp_path / "copied.png").read_bytes() == b"figure"
    assert pages[2].read_text(encoding="utf-8") == (
        f"before\n{BEGIN}\nthe tables\n\n![caption](images/copied.png)\n{END}\nafter\n"
    )
    assert "**44.0** (24.5)" in pages[0].read_text(encoding="utf-8")
