"""Requests that are preferred: claimed before all that wait, by any worker, through restarts, until they end."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.batch.stubs import FakeClock, entries
from wan.batch.identity import Worker
from wan.batch.preferred import PREFERRED_FOLDER
from wan.batch.queue import Queue
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput


def queue(folder: Path, name: str = "one", *, clock: FakeClock | None = None, **how: int) -> Queue:
    return Queue(folder, worker=Worker(name), lease=60.0, clock=clock or FakeClock(), **how)


def keys(one: Queue, count: int = 1) -> list[str]:
    """What a worker claims next."""
    return [claim.entry.key for claim in one.claim(count)]


def line(one: Queue) -> list[str]:
    return [status.entry.key for status in one.in_line()]


def marks(one: Queue) -> list[str]:
    return sorted(path.name for path in (one.root / PREFERRED_FOLDER).iterdir())


@pytest.mark.parametrize("most", [2, 1000], ids=["in many segments", "in one segment"])
def test_the_one_preferred_last_goes_first_and_the_others_keep_their_order(tmp_path: Path, most: int) -> None:
    one = queue(tmp_path, most=most)
    ids = one.submit(entries(6))
    assert one.prefer(ids[4]) and one.prefer(ids[2]) and one.prefer(ids[5])
    order = ["key5", "key2", "key4", "key0", "key1", "key3"]
    assert line(one) == order
    assert [keys(one) for _ in range(7)] == [*([key] for key in order), []]


def test_one_that_is_preferred_again_goes_first_again(tmp_path: Path) -> None:
    one = queue(tmp_path)
    ids = one.submit(entries(4))
    for place in (2, 3, 2, 2):
        assert one.prefer(ids[place])
    assert line(one) == ["key2", "key3", "key0", "key1"] and len(marks(one)) == 2


def test_two_workers_share_what_is_preferred_and_then_the_rest(tmp_path: Path) -> None:
    one, two = queue(tmp_path), queue(tmp_path, "two")
    ids = one.submit(entries(5))
    one.prefer(ids[3])
    two.prefer(ids[4])
    assert [keys(worker) for worker in (one, two, one, two, one)] == [[f"key{n}"] for n in (4, 3, 0, 1, 2)]


def test_what_runs_or_has_ended_is_not_preferred(tmp_path: Path) -> None:
    one = queue(tmp_path)
    running, ended, waiting = one.submit(entries(3))
    one.claim()
    one.cancel(ended)
    assert not one.prefer(running) and not one.prefer(ended) and not (one.root / PREFERRED_FOLDER).exists()
    for unknown in ("000000-009", "000007-000", "video"):
        with pytest.raises(InvalidInput, match=r"there is no request|is not the id of a request"):
            one.prefer(unknown)
    assert one.prefer(waiting) and keys(one) == ["key2"]


@pytest.mark.parametrize("ends", ["stopped", "dead"])
def test_it_is_preferred_until_it_ends_through_every_restart(tmp_path: Path, ends: str) -> None:
    clock = FakeClock()
    one = queue(tmp_path, clock=clock, most=1)
    ids = one.submit(entries(3))
    one.prefer(ids[2])
    (claim,) = one.claim()
    if ends == "stopped":
        claim.release()
    again = queue(tmp_path, "two", clock=clock, most=1)
    if ends == "dead":
        assert keys(again) == ["key0"]
        clock.sleep(70.0)
    (claim,) = again.claim()
    assert claim.entry.key == "key2" and claim.number == 2
    claim.finish(file="video.mp4")
    again.claim()
    assert marks(again) == []


def test_a_kill_leaves_what_was_preferred(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom wan.batch.queue import Queue\n"
        "Queue(Path(sys.argv[1])).prefer('000000-002')\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    one = queue(tmp_path)
    one.submit(entries(3))
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=SOURCE_DIR).returncode == -9
    assert keys(one) == ["key2"]


def test_a_request_that_is_tried_again_waits_as_if_it_had_never_been_preferred(tmp_path: Path) -> None:
    one = queue(tmp_path, most=1)
    ids = one.submit(entries(3))
    one.prefer(ids[2])
    assert one.cancel(ids[2]) and one.retry(ids[2])
    assert line(one) == ["key0", "key1", "key2"] and keys(one) == ["key0"]


def test_what_has_ended_and_what_says_nothing_is_passed_over(tmp_path: Path) -> None:
    one = queue(tmp_path)
    ids = one.submit(entries(4))
    one.prefer(ids[1])
    one.prefer(ids[2])
    one.cancel(ids[2])
    folder = one.root / PREFERRED_FOLDER
    strange = ["000009-000000-017", "000009-000044-000", "9-000000-003", "preferred.json", "x", "-1-000000-003"]
    for name in strange:
        (folder / name).write_bytes(b"\xff{")
    (folder / "000011-000000-003").mkdir()
    assert line(one) == ["key3", "key1", "key0"]
    assert [keys(one) for _ in range(4)] == [["key3"], ["key1"], ["key0"], []]
    assert not [name for name in marks(one) if name.endswith("000000-002")]
    assert one.prefer(ids[0]) is False


def test_a_file_in_place_of_the_folder_hinders_nobody(tmp_path: Path) -> None:
    one = queue(tmp_path)
    one.submit(entries(1))
    (one.root / PREFERRED_FOLDER).write_text("no folder", encoding="utf-8")
    assert line(one) == ["key0"] and keys(one) == ["key0"]


def test_preferred_ones_of_a_group_share_forwards_with_each_other_alone(tmp_path: Path) -> None:
    one = queue(tmp_path)
    ids = one.submit(entries(6, group="a"))
    for place in (5, 3):
        one.prefer(ids[place])
    assert keys(one, 4) == ["key3", "key5"] and keys(one, 4) == ["key0", "key1", "key2", "key4"]


def test_one_that_was_begun_stands_where_a_worker_takes_it(tmp_path: Path) -> None:
    one = queue(tmp_path)
    ids = one.submit(entries(3))
    assert one.cancel(ids[2]) and one.retry(ids[2])
    assert line(one) == ["key2", "key0", "key1"]
    assert [keys(one) for _ in range(3)] == [["key2"], ["key0"], ["key1"]]
    one.cancel(ids[0])
    assert line(one) == ["key1", "key2"]


def test_many_may_be_preferred_at_once_and_none_is_lost(tmp_path: Path) -> None:
    one = queue(tmp_path)
    ids = one.submit(entries(40))
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda id: Queue(tmp_path).prefer(id), ids[20:]))
    assert {keys(one)[0] for _ in range(20)} == {f"key{n}" for n in range(20, 40)}
    assert keys(one) == ["key0"]


def test_a_queue_in_which_nothing_is_preferred_has_no_folder_for_it(tmp_path: Path) -> None:
    one = queue(tmp_path)
    one.submit(entries(2))
    one.claim()
    list(one.in_line())
    assert not (one.root / PREFERRED_FOLDER).exists()
