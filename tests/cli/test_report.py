"""The report page: every kind of folder, each file once, whole HTML, nothing from a network, failed runs, refusals."""

import json
import shlex
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.conftest import Refusal
from wan.analysis.page import command_block
from wan.analysis.report import make_report
from wan.cli import compare, continuity, continuity_demo, report
from wan.cli.main import run

PROMPT = "a <script>alert(1)</script> & a red circle"
SMALL = ["--task", "t2v-demo", "--size", "32*32", "--quiet", "--prompt", PROMPT]
VOID = {"meta", "img", "br", "rect", "line"}


class Reader(HTMLParser):
    """Collects what a test asks: unbalanced tags, addresses, the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self.anchors += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One result folder of each kind."""
    root, model = tmp_path_factory.mktemp("results"), ["--ckpt_dir", str(tiny_checkpoint)]
    few, frames = ["--sample_steps", "4"], ["--frame_num", "9"]
    debug = ["--enable_debug", "--output_dir", str(root / "outputs"), "--cfg_truncate_steps", "1"]
    assert run("generate", [*SMALL, *model, *few, *frames, *debug]) == 0
    two_seeds = ["--seed", "0", "1", "--output_dir", str(root / "comparison")]
    compare.main([*SMALL, *model, *few, *frames, *two_seeds])
    continuity.main([*SMALL, *model, *few, *frames, "--output_dir", str(root / "continuity")])
    continuity_demo.main(["--output_dir", str(root / "demo")])
    made = next((root / "outputs").glob("t2v-demo_*"))
    compare.main(["--from_runs", str(made), str(made), "--output_dir", str(root / "earlier")])
    return {
        "run": made,
        "debug": root / "outputs" / "debug_outputs",
        "comparison": root / "comparison",
        "earlier": root / "earlier",
        "continuity": root / "continuity",
        "demo": root / "demo",
    }


@pytest.fixture(scope="module")
def page(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("page") / "report.html"
    report.main([*map(str, folders.values()), "--output", str(output)])
    return output.read_text(encoding="utf-8")


def test_the_page_is_whole_and_needs_no_network(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.addresses and all(address.startswith(("data:", "#")) for address in reader.addresses)
    links = {address.removeprefix("#") for address in reader.addresses if address.startswith("#")}
    assert links and links <= set(reader.anchors) and len(reader.anchors) == len(set(reader.anchors))
    assert "script" not in reader.tags and "default-src 'none'" in page
    assert "<script>alert(1)</script>" in reader.text


def test_the_page_shows_every_kind(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    for part in (
        "Run: a",
        "Plan",
        "Make it again",
        "CFG error analysis",
        "Comparison: cfg_vs_baseline",
        "Temporal continuity (x_t)",
        "Temporal continuity, simulated",
        "generate.py",
    ):
        assert part in reader.text, part
    assert "is missing" not in reader.text
    assert reader.tags.count("video") >= 3 and reader.tags.count("img") >= 8 and page.count('<svg role="img"') == 1


def test_no_file_is_in_the_page_twice(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    embedded = [address for address in reader.addresses if address.startswith("data:")]
    assert len(embedded) == len(set(embedded))
    # the debug folder was given beside its run
    assert reader.text.count("size and change of the CFG difference") == 1
    assert "The CFG error analysis of this run" in reader.text


def test_a_debug_run_alone_brings_its_error_analysis(folders: dict[str, Path]) -> None:
    text = make_report([folders["run"], folders["run"] / "."], title="one run")
    assert "1 result folder;" in text and "side by side" not in text
    assert text.count("size and change of the CFG difference</figcaption>") == 1


@pytest.fixture
def other(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the run with another seed and without debug outputs."""
    copy = tmp_path / "other"
    shutil.copytree(folders["run"], copy)
    record = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    del record["outputs"]["debug_outputs"]
    (copy / "run.json").write_text(json.dumps(record | {"seed": 12345}), encoding="utf-8")
    return copy


def test_several_runs_stand_side_by_side(folders: dict[str, Path], other: Path) -> None:
    text = make_report([folders["run"], folders["demo"], other], title="two runs")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    for part in ("Runs side by side", "run A", "Run B: a", "≠ seed", "12345", "≠ and bold type", "32x32 pixels, shown"):
        assert part in reader.text, part
    assert "≠ task" not in reader.text
    assert reader.tags.count("video") == 2 and reader.text.count("shown above") == 2
    assert '<a href="#section-4">run B</a>' in text


@pytest.mark.parametrize(
    ("status", "sections", "sentences"),
    [
        (
            "failed",
            {"error": "RuntimeError: out of <memory>"},
            ["ended with an error", "RuntimeError: out of <memory>"],
        ),
        (
            "interrupted",
            {"outputs": {"partial_latents": "kept/partial_latents.safetensors", "steps_done": 3}},
            ["was stopped before its end", "the latents after step 3 of 4, kept/partial_latents.safetensors"],
        ),
        ("running", {}, ["has not ended yet, or its process was killed"]),
        ("failed", {"error": "OSError: disk full", "latents": True}, ["the latents after the last step"]),
        ("failed", {"error": "KeyError"}, ["Nothing was kept"]),
    ],
)
def test_a_run_that_did_not_end_well_says_so(
    status: str, sections: dict[str, object], sentences: list[str], other: Path
) -> None:
    record = json.loads((other / "run.json").read_text(encoding="utf-8")) | {
        "status": status,
        "outputs": {},
        "timing": {},
    }
    if not sections.pop("latents", False):
        (other / "latents.safetensors").unlink()
    (other / "video.mp4").unlink()
    (other / "run.json").write_text(json.dumps(record | sections), encoding="utf-8")
    reader = Reader()
    reader.feed(make_report([other], title="a run"))
    assert reader.open == []
    for part in (f"✗ {status}", f"seed 12345, {status}", "no video", *sentences):
        assert part in reader.text, part
    assert "is missing" not in reader.text


def test_a_second_page_gets_the_next_free_name(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        report.main([str(folders["demo"])])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report-2.html", "report-3.html", "report.html"]
    assert "report.html exists and is kept: the new page is report-2.html" in capsys.readouterr().out
    report.main([str(folders["demo"]), "--overwrite"])
    assert len(list(tmp_path.iterdir())) == 3


def test_a_page_is_never_written_over_unasked(folders: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    output.write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="exists; give another name"):
        report.main([str(folders["demo"]), "--output", str(output)])
    report.main([str(folders["demo"]), "--output", str(output), "--overwrite"])
    assert "simulated" in output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "there are no results here"),
        (["."], ". holds no results (no error_comparison.json"),
        (["--output", "page.pdf"], "--output page.pdf must end in .html"),
    ],
)
def test_refusals(flags: list[str], sentence: str, refusal: Refusal) -> None:
    assert sentence in refusal("report", flags)


def test_a_folder_of_results_stands_for_each_of_them(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report.main([str(folders["run"].parent), "--output", str(tmp_path / "page.html")])
    named = capsys.readouterr().out.strip().partition(": ")[2].split(", ")
    assert named == [str(folders["debug"]), str(folders["run"])]


def test_without_a_folder_it_shows_what_is_here(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo_continuity").symlink_to(folders["demo"])
    monkeypatch.chdir(tmp_path)
    report.main([])
    assert "simulated" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_command_has_a_line_for_every_flag_and_can_be_copied() -> None:
    command = "python generate.py --task t2v-demo --prompt 'a <b> -- it'\"'\"'s' --sample_guide_scale 3 4 --quiet"
    block = command_block(command)
    lines = block.removeprefix("<pre>").removesuffix("</pre>").split("\n")
    assert lines[0] == "python generate.py \\" and lines[-2:] == ["    --sample_guide_scale 3 4 \\", "    --quiet"]
    assert shlex.split(unescape("\n".join(lines)).replace("\\\n", "")) == shlex.split(command)
    assert command_block("it's <not> a command") == "<pre>it&#x27;s &lt;not&gt; a command</pre>"
