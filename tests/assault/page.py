"""Part ``page``: results of others that want to run in the report page; parsed, and opened in a browser."""

import json
import shutil
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from tests.assault.browser import fault_in_browser, fault_when_opened, find_browser, joined, opened
from tests.assault.hostile import MARK, PAYLOADS, places, with_keys, with_value, write
from tests.assault.html_check import fault_of_page
from tests.assault.trials import Plan, Trial
from tests.tiny_checkpoint import make_tiny_checkpoint
from wan.analysis.report import make_report
from wan.batch.claim_files import RUNNING
from wan.batch.index import index_page
from wan.batch.queue import STATES
from wan.cli.main import run
from wan.errors import InvalidInput
from wan.runs.record import FAILED
from wan.runs.video import write_video

TITLE = "a report"
SAMPLE = ("quote and handler", "link", "bidi")
CHECKED = (
    f"{len(PAYLOADS)} hostile texts (scripts, handlers, quotes, `javascript:` links, frames, bidi characters) in every "
    "value and name of run.json and of the files of comparisons, continuity and error analyses, in mp4 metadata, file "
    "and folder names, and in every text of a batch's index: the pages of `wan report` and `wan batch` have no tag, "
    "handler or address of theirs by a real HTML parser, and headless Chromium runs none, also with the "
    "page's policy taken away and every element touched and clicked."
)
_SMALL = ("--task", "t2v-demo", "--size", "32*32", "--frame_num", "9", "--sample_steps", "4", "--quiet")


def plan(folder: Path, sample: bool) -> Plan:
    """The trials of this part; figures are drawn in this process, so one after the other."""
    records = _results(folder / "results", only_run=sample)
    names = SAMPLE if sample else tuple(PAYLOADS)
    browser = find_browser()
    trials = [
        Trial(f"{kind}, {name}", lambda n=name, k=kind, r=record: _attack(folder / k / _plain(n), r, PAYLOADS[n]))
        for kind, record in records.items()
        for name in names
    ]
    run_file = records["run"]
    trials += [Trial(f"names and mp4, {name}", lambda n=name: _names(folder / "names", run_file, n)) for name in names]
    trials += [Trial(f"index of a batch, {name}", lambda n=name: _index(folder / "batch", n)) for name in names]
    if browser is None:
        return Plan(trials=trials, workers=1, left_out=["the browser (no Chromium on the PATH)"])
    trials.append(Trial("the browser sees what runs", lambda: _control(folder / "control", browser)))
    trials += [Trial(f"browser, run, {name}", lambda n=name: _open(folder, "run", n, browser)) for name in names]
    trials += [
        Trial(f"browser, {kind}, everything touched", lambda k=kind: _open_all(folder / k, names, browser))
        for kind in (*records, "names", "batch")
    ]
    return Plan(trials=trials, workers=1)


def _results(folder: Path, *, only_run: bool) -> dict[str, Path]:
    """A result of every kind, by the file that the report reads."""
    model = ["--ckpt_dir", str(make_tiny_checkpoint(folder / "tiny"))]
    debug = ["--enable_debug", "--cfg_truncate_steps", "1"]
    _made("generate", *_SMALL, *model, *(() if only_run else debug), "--output_dir", str(folder / "outputs"))
    made = next((folder / "outputs").glob("t2v-demo_*"))
    if only_run:
        return {"run": made / "run.json"}
    _made("compare", *_SMALL, *model, "--output_dir", str(folder / "comparison"))
    _made("compare", "--from_runs", str(made), str(made), "--output_dir", str(folder / "earlier"))
    _made("continuity", *_SMALL, *model, "--output_dir", str(folder / "continuity"))
    return {
        "run": made / "run.json",
        "debug": folder / "outputs" / "debug_outputs" / "error_analysis" / "error_analysis.json",
        "comparison": folder / "comparison" / "error_comparison.json",
        "earlier": folder / "earlier" / "error_comparison.json",
        "continuity": folder / "continuity" / "continuity_statistics.json",
    }


def _made(*words: str) -> None:
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run(words[0], list(words[1:]))
    if code != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {code}: {said.getvalue()[-500:]}")


def _attack(place: Path, source: Path, payload: str) -> str | None:
    """The payload in every place of a result file, one after the other, then in all that the report shows at once."""
    folder = _copy(source, place / "copy")
    target = folder / source.relative_to(_folder_of(source))
    record: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
    taken: list[tuple[Any, ...]] = []
    for path in places(record):
        fault, page = _page(folder, target, with_value(record, path, payload))
        if fault:
            return f"in {'.'.join(map(str, path))}: {fault}"
        if page is not None:
            taken.append(path)
    together = _together(folder, target, record, taken, payload)
    fault, page = _page(folder, target, with_keys(together, payload))
    if fault:
        return f"as further names: {fault}"
    page = page or _page(folder, target, together)[1]  # some files take no further names
    if page is None:
        return "refused although each of its values was taken"
    (place / "page.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    return None if taken else "every place was refused: nothing is proved"


def _together(
    folder: Path, target: Path, record: dict[str, Any], taken: Sequence[tuple[Any, ...]], payload: str
) -> dict[str, Any]:
    """The record with the payload in every place that takes it, or in as many as it takes at once."""
    everything = record
    for path in taken:
        everything = with_value(everything, path, payload)
    if _page(folder, target, everything)[1] is not None:
        return everything
    together = record
    for path in taken:
        further = with_value(together, path, payload)
        together = further if _page(folder, target, further)[1] is not None else together
    return together


def _names(place: Path, source: Path, name: str) -> str | None:
    """The payload as the name of the folder, of the video, and in the metadata of the mp4, and as the text report."""
    payload = PAYLOADS[name]
    word = payload.replace("/", "\u2215").replace("\0", "")[:60].encode("utf-8", errors="replace").decode("utf-8")
    folder = _copy(source, place / _plain(name) / word)
    (folder / "video.mp4").unlink()
    video = folder / f"{word}.mp4"
    metadata = {"prompt": payload.replace("\0", ""), payload.replace("\0", ""): "x", "title": "x"}
    write_video(video, torch.zeros(3, 2, 32, 32), fps=8, metadata=metadata)
    record = json.loads(source.read_text(encoding="utf-8")) | {"outputs": {"video": str(video)}}
    fault, page = _page(folder, folder / source.name, record)
    if fault or page is None:
        return fault or "refused"
    if "data:video/mp4" not in page:
        return "the video is not on the page: nothing is proved"
    (place / _plain(name) / "page.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    return None


def _index(place: Path, name: str) -> str | None:
    """The payload as every text of the requests that a batch's index lists, one request for every state."""
    payload = PAYLOADS[name]
    texts = dict.fromkeys(("id", "source", "prompt", "folder", "worker"), payload)
    ends = {FAILED: {"error": payload}, RUNNING: {"steps": 3}}  # a file is a link, which tests/batch looks at
    rows = [texts | {"state": state} | ends.get(state, {}) for state in STATES]
    page = index_page(TITLE, dict.fromkeys(STATES, 1), rows, is_whole=True)
    (place / _plain(name)).mkdir(parents=True, exist_ok=True)
    (place / _plain(name) / "page.html").write_text(page, encoding="utf-8", errors="backslashreplace")
    return fault_of_page(page)


def _page(folder: Path, target: Path, record: dict[str, Any]) -> tuple[str | None, str | None]:
    """(fault, page); no page where the record is refused in a sentence."""
    write(target, record)
    try:
        text = make_report([folder], title=TITLE)
    except InvalidInput:
        return None, None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"raised {type(error).__name__}: {error}", None
    return fault_of_page(text), text


def _open(folder: Path, kind: str, name: str, browser: str) -> str | None:
    page = folder / kind / _plain(name) / "page.html"
    return fault_when_opened(browser, page, title=TITLE) if page.is_file() else "there is no page to open"


def _open_all(folder: Path, names: Sequence[str], browser: str) -> str | None:
    """The pages of all payloads in one."""
    pages = [folder / _plain(name) / "page.html" for name in names]
    if missing := [page.parent.name for page in pages if not page.is_file()]:
        return f"there are no pages to open: {', '.join(missing)}"
    whole = folder / "all.html"
    whole.write_text(joined([page.read_text(encoding="utf-8") for page in pages]), encoding="utf-8")
    return fault_in_browser(browser, whole, title=TITLE)


def _control(place: Path, browser: str) -> str | None:
    """A page that is not careful: the browser must see that the payload runs, or it proves nothing."""
    place.mkdir(parents=True, exist_ok=True)
    page = place / "page.html"
    page.write_text(f"<html><head><title>{TITLE}</title></head><body>{PAYLOADS['script']}</body></html>\n")
    if MARK not in opened(browser, page):
        return "it did not see a script that runs"
    page.write_text(f"<html><head><title>{TITLE}</title></head><body>{PAYLOADS['link']}</body></html>\n")
    return None if fault_in_browser(browser, page, title=TITLE) else "it did not see a link that runs when clicked"


def _copy(source: Path, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(_folder_of(source), place))


def _folder_of(source: Path) -> Path:
    """The result folder that a file belongs to."""
    return source.parent.parent if source.parent.name == "error_analysis" else source.parent


def _plain(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")
