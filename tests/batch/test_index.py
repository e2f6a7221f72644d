"""The index of a batch: what each request came to, also of a large batch, and no text of a request does anything."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.batch.stubs import FakeClock, entries
from wan.batch import index
from wan.batch.index import write_index
from wan.batch.overview import MOST_OF_THE_TIME, Overview
from wan.batch.queue import Queue
from wan.batch.segments import Entry

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)> javascript:alert(1)'


class Tags(HTMLParser):
    """Every tag and every address of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_the_index_says_what_each_request_came_to(tmp_path: Path) -> None:
    queue = Queue(tmp_path, retries=0)
    queue.submit(entries(4))
    (first,) = queue.claim()
    first.finish(file="00000/video.mp4")
    (second,) = queue.claim()
    second.fail("it broke")
    (third,) = queue.claim()  # nobody tries the second again: that is the end of it
    third.keep(steps=7)
    counts = write_index(queue, title="mine")
    found = json.loads((tmp_path / "batch.json").read_text("utf-8"))
    assert counts == found["counts"] == {"waiting": 1, "running": 1, "finished": 1, "failed": 1, "cancelled": 0}
    rows = {row["source"]: row for row in found["requests"]}
    assert rows["line 0"]["file"] == "00000/video.mp4" and rows["line 1"]["error"] == "it broke"
    assert rows["line 2"]["steps"] == 7 and found["lists_all"]
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "it broke" in page and 'href="./00000/video.mp4"' in page and "after step 7" in page


def test_no_text_of_a_request_does_anything_on_the_page(tmp_path: Path) -> None:
    queue = Queue(tmp_path, retries=0)
    queue.submit([Entry(key="k", folder=HOSTILE, argv=(), source=HOSTILE, prompt=HOSTILE)])
    (claim,) = queue.claim()
    claim.finish(file=f"javascript:alert(1)//{HOSTILE}")
    write_index(queue, title=HOSTILE)
    page = Tags((tmp_path / "index.html").read_text("utf-8"))
    assert not page.tags & {"script", "img", "iframe", "object"}
    assert all(link.startswith(("./", "#")) for link in page.links) and len(page.links) == 2


def test_of_a_large_batch_what_is_not_done_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_LISTED", 3)
    queue = Queue(tmp_path, most=2)
    queue.submit(entries(5))
    for _ in range(2):
        (claim,) = queue.claim()
        claim.finish(file="video.mp4")
    assert not queue.is_over()
    counts = write_index(queue, title="large")
    found = json.loads((tmp_path / "batch.json").read_text("utf-8"))
    assert counts["finished"] == 2 and counts["waiting"] == 3 and not found["lists_all"]
    assert [row["source"] for row in found["requests"]] == ["line 2", "line 3", "line 4"]
    assert "are not listed here" in (tmp_path / "index.html").read_text("utf-8")


def test_the_index_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = FakeClock(), list[float]()

    def slow(queue: Queue, *, title: str, counts: dict[str, int]) -> dict[str, int]:
        clock.sleep(3.0)
        written.append(clock.now())
        return counts

    monkeypatch.setattr("wan.batch.overview.write_index", slow)
    queue = Queue(tmp_path)
    queue.submit(entries(1))
    overview = Overview(queue, title="", show_progress=False, clock=clock, warn=lambda line: None)
    while clock.now() < 1000:
        overview.changed()
        clock.sleep(1.0)
    assert 3.0 * len(written) / clock.now() < 1.5 * MOST_OF_THE_TIME
    overview.changed(last=True)
    assert written[-1] > 1000
