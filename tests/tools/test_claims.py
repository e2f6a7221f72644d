"""The claims table: every claim measured in both languages, documents rewritten only between their markers."""

import json
from itertools import chain
from pathlib import Path

import pytest

import measure_claims
import measure_shortcuts
from claims.documents import BEGIN, END, update_document
from claims.sample import MIN_CLIPS, sample_clips
from tests.tools.conftest import RunTool
from wan.errors import InvalidInput
from wan.instruments.flags import Case, measured_job

SMALL = ["--task", "t2v-demo", "--size", "32*32", "--frame_num", "17"]


def test_every_claim_is_measured_in_both_languages(tiny_checkpoint: Path, tmp_path: Path) -> None:
    flags = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "claims"), "--seed", "0"]
    measure_claims.main([*SMALL, *flags, "--prompt", "a red circle"])
    data = json.loads((tmp_path / "claims" / "claims.json").read_text(encoding="utf-8"))
    assert len(data["claims"]) == 20
    unmeasured = [row["measured"] for row in data["claims"] if row["verdict"] == "needs GPUs"]
    assert unmeasured == ["not measured"]
    verdicts = {row["verdict"] for row in data["claims"]} - {"needs GPUs"}
    assert verdicts <= {"confirmed", "not confirmed", "mixed"}
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
    for document in (*measure_claims.DOCUMENTS, *chain.from_iterable(measure_shortcuts.DOCUMENTS.values())):
        text = document.read_text(encoding="utf-8")
        assert text.count(BEGIN) == text.count(END) == 1


def test_a_table_needs_enough_cases(tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool(measure_claims, ["--update_docs", "--prompt", "a red circle"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("measure_claims.py: --update_docs with 1 cases: a table needs at least 32 prompts x seeds")


def test_the_documents_are_measured_on_the_same_clips_by_both_tools() -> None:
    clips = sample_clips()
    assert len(clips) == 36 >= MIN_CLIPS and {clip.case.seed for clip in clips} == {0, 1}
    assert len({clip.case for clip in clips}) == 36
    parser = measure_claims.build_parser()
    args = parser.parse_args([])
    assert measure_claims._cases(args, measured_job(args)) == [clip.case for clip in clips]
    args = parser.parse_args(["--prompt", "a red circle", "--seed", "3"])
    assert measure_claims._cases(args, measured_job(args)) == [Case(prompt="a red circle", seed=3)]
    args = measure_shortcuts.build_parser().parse_args([])
    assert sample_clips(args.per_motion, tuple(args.seeds)) == clips
