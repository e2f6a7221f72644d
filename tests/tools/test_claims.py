"""The claims table: every claim measured in both languages, documents rewritten only between their markers."""

import json
import sys
from pathlib import Path

import pytest

import measure_claims
import measure_shortcuts
from claims.documents import BEGIN, END, update_document
from wan.errors import InvalidInput
from wan.cli.main import run

SMALL = ["--task", "t2v-demo", "--size", "32*32", "--frame_num", "17"]


def test_every_claim_is_measured_in_both_languages(tiny_checkpoint: Path, tmp_path: Path) -> None:
    flags = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "claims"), "--seed", "0"]
    measure_claims.main([*SMALL, *flags, "--prompt", "a red circle"])
    data = json.loads((tmp_path / "claims" / "claims.json").read_text(encoding="utf-8"))
    assert len(data["claims"]) == 18
    assert {row["verdict"] for row in data["claims"]} <= {"confirmed", "not confirmed", "mixed"}
    assert "half-frame, repeat" in data["methods"] and "another seed" in data["methods"]
    english, chinese = (
        (tmp_path / "claims" / name).read_text(encoding="utf-8").splitlines() for name in ("claims.md", "claims.zh.md")
    )
    assert len(english) == len(chinese)
    assert all(line.count("|") == other.count("|") for line, other in zip(english, chinese, strict=True))


def test_documents_change_between_their_markers_only(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    update_document(document, "| new |")
    assert document.read_text(encoding="utf-8") == f"before\n{BEGIN}\n| new |\n{END}\nafter\n"
    document.write_text("no markers", encoding="utf-8")
    with pytest.raises(InvalidInput, match="to write between; restore them"):
        update_document(document, "| new |")


def test_the_documents_of_the_project_have_their_markers() -> None:
    for document in (*measure_claims.DOCUMENTS, *measure_shortcuts.DOCUMENTS.values()):
        text = document.read_text(encoding="utf-8")
        assert text.count(BEGIN) == text.count(END) == 1


def test_a_table_needs_enough_cases(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["measure_claims.py", "--update_docs", "--prompt", "a red circle"])
    assert run_tool("measure_claims.py", measure_claims.main) == 2
    assert "a table needs at least 16 prompts x seeds" in capsys.readouterr().err
