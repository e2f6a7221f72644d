"""The table of plans on other settings: what a cell says, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

import write_planner_docs
from wan.errors import InvalidInput
from wan.instruments.arena.suite import suite_names
from wan.planning.stored import read_calibration
from write_planner_docs import CALIBRATION, PAGES, SETTINGS, TRANSFER, TUNING, table, tuning_table


def results() -> dict[str, Any]:
    peer = {"family": "SeaCache", "quality": 36.24, "lower": "SeaCache .5"}
    one = {"name": "plan of 10 steps", "cost": 0.5, "mean": 44.0, "worst": 24.5, "peer": peer}
    alone = {"name": "plan of 7 steps", "cost": 0.35, "mean": 30.0, "worst": 20.0, "peer": None, "worst_peer": None}
    return {"clips": [{}] * 18, "against_peers": [one | {"worst_peer": peer | {"quality": 25.5}}, alone]}


def test_a_cell_holds_cost_ours_and_the_best_peer() -> None:
    lines = table({"transfer-seeds": results()}, 0).splitlines()
    assert lines[2] == (
        "| other seeds | 18 | - | 0.50: **44.0** (24.5); SeaCache 36.2 (25.5) | 0.35: **30.0** (20.0) |"
    )
    assert lines[1].count("|") == lines[0].count("|") == lines[2].count("|")


def test_every_transfer_suite_has_its_words() -> None:
    assert {name for name in suite_names() if name.startswith("transfer-")} == set(SETTINGS)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no results of a transfer suite"):
        write_planner_docs.main([str(tmp_path)])


def test_both_pages_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in PAGES:
        for mark in (*TUNING, *TRANSFER):
            assert page.read_text(encoding="utf-8").count(mark) == 1, page
    (tmp_path / "transfer-seeds").mkdir()
    (tmp_path / "transfer-seeds" / "results.json").write_text(json.dumps(results()), encoding="utf-8")
    pages = (tmp_path / "en.md", tmp_path / "zh.md")
    for page in pages:
        page.write_text("\n".join(["a", TUNING[0], TUNING[1], TRANSFER[0], "old", TRANSFER[1], "b"]), encoding="utf-8")
    monkeypatch.setattr(write_planner_docs, "PAGES", pages)
    write_planner_docs.main([str(tmp_path)])
    assert "other seeds" in pages[0].read_text(encoding="utf-8") and "其他随机种子" in pages[1].read_text(
        encoding="utf-8"
    )


def test_the_tuning_of_every_plan_has_a_row() -> None:
    plans = read_calibration(CALIBRATION).plans
    lines = tuning_table(plans, 0).splitlines()
    assert len(lines) == 2 + len(plans)
    assert lines[2].startswith("| 0.7 | 14 | ") and lines[-1].startswith("| 0.25 | 5 | ")
