"""The assault itself: what is broken on purpose is reported, every part has a fault that it finds."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.assault import __main__ as assault
from tests.assault import html_check, kills, leaks, network
from tests.assault.browser import joined
from tests.assault.children import Ended, not_one_sentence
from tests.assault.document import update_document
from tests.assault.hostile import PAYLOADS, places, with_value
from tests.assault.inputs import refused_in
from tests.assault.trials import Outcome, Part, Plan, Trial, as_table
from tests.assault.whole import half_files, not_as_finished
from wan.analysis.page import Section, page, paragraph
from wan.runs.latents import load_latents, save_latents

SHORT = ("--sample_steps", "4", "--frame_num", "9")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that was never stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kills, "BASE", (*kills.BASE, *SHORT))
        return kills.make_references(tmp_path_factory.mktemp("whole"), ["plain"])["plain"]


@pytest.fixture
def run(reference: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(reference, tmp_path / reference.name))


def test_a_resume_that_loses_precision_is_found(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "BASE", (*kills.BASE, *SHORT))
    killing = kills.Killing(folder=tmp_path, references={"plain": reference}, resume_plan="break@always")
    fault = killing.attack("plain", "step:3")
    assert fault is not None and "not bit-equal" in fault


def test_latents_that_differ_in_one_bit_are_found(run: Path, reference: Path) -> None:
    assert not_as_finished(run, reference) is None
    latents = load_latents(run / "latents.safetensors")
    latents.view(-1)[0] = torch.nextafter(latents.view(-1)[0], torch.tensor(9.0))
    save_latents(run / "latents.safetensors", latents, metadata={})
    assert "not bit-equal" in (not_as_finished(run, reference) or "")


@pytest.mark.parametrize("name", ["video.mp4", "latents.safetensors", "run.json"])
def test_a_half_file_under_its_final_name_is_found(name: str, run: Path, reference: Path) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    assert name in (half_files(run) or "") and not_as_finished(run, reference)


def test_a_record_that_stays_unfinished_is_found(run: Path, reference: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(record | {"status": "running"}), encoding="utf-8")
    assert not_as_finished(run, reference) == "its record says running"


@pytest.mark.parametrize(
    ("ended", "named"),
    [
        (Ended(1, "", "Traceback (most recent call last):\n  ...\nKeyError: 3\n"), "instead of one sentence"),
        (Ended(2, "", "generate.py: one.\nAnd another.\n"), "instead of one sentence"),
        (Ended(2, "", ""), "instead of one sentence"),
        (Ended(0, "", ""), "ended with 0"),
        (Ended(-9, "", "generate.py: one.\n"), "ended with -9"),
    ],
)
def test_what_is_not_one_sentence_is_found(ended: Ended, named: str) -> None:
    assert named in (not_one_sentence(ended) or "")


def test_an_input_that_is_accepted_is_found(tmp_path: Path) -> None:
    words = ["--task", "t2v-demo", "--prompt", "a red circle", "--dry_run"]
    assert "ended with 0" in (refused_in("generate", words, tmp_path) or "")
    assert refused_in("generate", [*words, "--size", "1*1*1"], tmp_path) is None


@pytest.mark.parametrize("name", [name for name in PAYLOADS if "entities" not in name and "full-width" not in name])
def test_a_page_that_does_not_escape_is_found(name: str) -> None:
    def made(content: str) -> str:
        return page("t", "s", [Section(title="x", content=content)])

    assert html_check.fault_of_page(made(paragraph(PAYLOADS[name]))) is None
    raw, quoted = PAYLOADS[name], f'<p id="{PAYLOADS[name]}">x</p>'
    spoiled = [made(raw), made(quoted), made(f"<a href='{raw}'>x</a>"), made(f"<p id={raw}>x</p>")]
    assert any(html_check.fault_of_page(one) for one in spoiled)


def test_the_bodies_of_pages_are_joined() -> None:
    pages = [page("t", "s", [Section(title=name, content=paragraph(name))]) for name in ("first", "second")]
    whole = joined(pages)
    assert whole.count("<body>") == 1 and "<p>first</p>" in whole and "<p>second</p>" in whole
    assert html_check.fault_of_page(whole) is None


def test_every_place_of_a_record_is_attacked() -> None:
    record = {"a": 1, "b": {"c": [1, 2, 3]}, "d": None}
    assert list(places(record)) == [("a",), ("b", "c", 0), ("b", "c", 1), ("d",)]
    assert with_value(record, ("b", "c", 1), "x")["b"]["c"] == [1, "x", 3] and record["b"]["c"][1] == 2


def test_a_command_that_asks_a_network_is_found(tmp_path: Path) -> None:
    # a download asks one: a hub's client swallows what refuses it, and the count does not
    words = ["download", "--task", "t2v-A14B", "--output_dir", tmp_path / "made"]
    assert "asked the network" in (network.attack(words, tmp_path / "place", ()) or "")


@pytest.mark.parametrize(
    ("name", "rise", "named"),
    [
        ("memory", 2.0, "memory rises by 2.00"),
        ("descriptors", 1, "desc"),
        ("threads", 1, "thr"),
        ("temporary", 1, "temp"),
    ],
)
def test_what_grows_is_found(name: str, rise: float, named: str) -> None:
    flat = {"memory": 700.0, "descriptors": 9, "threads": 3, "temporary": 1}
    assert leaks.growth([flat] * 30) is None
    assert leaks.growth([flat | {name: flat[name] + rise * max(0, 3 - run)} for run in range(30)]) is None
    assert named in (leaks.growth([flat | {name: flat[name] + rise * run} for run in range(30)]) or "")


def test_a_kill_that_does_not_happen_is_found(tmp_path: Path) -> None:
    killing = kills.Killing(folder=tmp_path, references={})
    assert "the point was not reached" in (killing.attack("plain", "step:1", flags=["--size", "none"]) or "")


def test_failures_are_counted_and_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def raises() -> None:
        raise KeyError("lost")

    trials = [Trial("good", lambda: None), Trial("bad", lambda: "a fault"), Trial("worse", raises)]
    part = Part(name="some", checked="Something.", plan=lambda folder, sample: Plan(trials=trials))
    monkeypatch.setattr(assault, "PARTS", (part,))
    assert assault.main([]) == 1
    said = capsys.readouterr().out
    assert "| some | 3 | 1 | Something. |" in said and "some: bad: a fault" in said and "KeyError" in said
    trials[1:] = []
    assert assault.main([]) == 0


def test_the_table_says_what_was_left_out_and_goes_between_the_markers(tmp_path: Path) -> None:
    part = Part(name="some", checked="Something.", plan=lambda folder, sample: Plan(trials=[]))
    table = as_table([Outcome(part=part, tried=0, faults={}, left_out=["the browser"], seconds=1.0)])
    assert "| some | 0 | 0 | Something. Left out here: the browser. |" in table
    document = tmp_path / "reliability.md"
    document.write_text("before\n<!-- assault:begin -->\nold\n<!-- assault:end -->\nafter\n", encoding="utf-8")
    update_document(table, minutes=3.2, document=document)
    text = document.read_text(encoding="utf-8")
    assert "old" not in text and table in text and text.startswith("before\n") and text.endswith("-->\nafter\n")
    with pytest.raises(ValueError, match="assault:begin"):
        document.write_text("nothing", encoding="utf-8")
        update_document(table, minutes=3.2, document=document)
