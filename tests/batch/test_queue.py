"""The queue: every request once, dead claims taken over by exactly one, failures retried and recorded, in any order."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.stubs import FakeClock, StubMaker, Unwatched, entries
from wan.batch.claim_files import read_claim, rewrite_claim
from wan.batch.claims import Cancelled, Claim, ClaimLost, claim_path
from wan.batch.identity import Worker, lives, this_kernel
from wan.batch.queue import Queue
from wan.batch.worker import work
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.runs.lock import FolderBusy

HOUR = 3600.0


def queue(folder: Path, name: str = "one", *, clock: FakeClock | None = None, lease: float = 60.0, **how: int) -> Queue:
    return Queue(folder, worker=Worker(name), lease=lease, clock=clock or FakeClock(), **how)


def only(claims: list[Claim]) -> Claim:
    (claim,) = claims
    return claim


def finish_all(one: Queue) -> list[str]:
    made = []
    while claims := one.claim():
        made.append(only(claims).entry.key)
        only(claims).finish(file="video.mp4")
    return made


def test_requests_are_made_in_their_order_and_once(tmp_path: Path) -> None:
    one = queue(tmp_path)
    ids = one.submit(entries(5))
    assert ids == [f"000000-{n:03d}" for n in range(5)]
    assert finish_all(one) == [f"key{n}" for n in range(5)]
    assert one.is_over() and one.claim() == [] and one.counts()["finished"] == 5


def test_the_same_list_again_adds_nothing_and_a_longer_one_what_is_new(tmp_path: Path) -> None:
    one = queue(tmp_path, most=3)
    first = one.submit(entries(5))
    again = queue(tmp_path, most=3)
    assert again.submit(entries(5)) == first
    assert again.submit(entries(8))[:5] == first
    assert again.counts()["waiting"] == 8 and len(finish_all(again)) == 8


def test_a_request_that_is_claimed_is_no_other_workers(tmp_path: Path) -> None:
    one, two = queue(tmp_path), queue(tmp_path, "two")
    one.submit(entries(2))
    assert [only(q.claim()).entry.key for q in (one, two)] == ["key0", "key1"]
    assert one.claim() == two.claim() == [] and not one.is_over()
    assert one.counts()["running"] == 2


def test_the_claim_of_a_silent_worker_is_taken_over_by_one_after_its_lease(tmp_path: Path) -> None:
    clock = FakeClock()
    dead = queue(tmp_path, "dead", clock=clock)
    dead.submit(entries(1))
    only(dead.claim())
    watchers = [queue(tmp_path, f"watcher {n}", clock=clock) for n in range(20)]
    assert all(watcher.claim() == [] for watcher in watchers)
    clock.sleep(60.0)
    assert all(watcher.claim() == [] for watcher in watchers)
    clock.sleep(10.0)
    taken = [claims for watcher in watchers if (claims := watcher.claim())]
    assert len(taken) == 1 and only(taken[0]).number == 2 and only(taken[0]).record.attempts == 1


def test_a_worker_that_says_that_it_lives_keeps_its_claim_for_a_day(tmp_path: Path) -> None:
    clock = FakeClock()
    one, other = (queue(tmp_path, name, clock=clock, lease=600.0) for name in ("one", "other"))
    one.submit(entries(1))
    claim = only(one.claim())
    while clock.now() < 24 * HOUR:
        clock.sleep(one.beat_seconds)
        claim.keep(steps=int(clock.now() / HOUR))
        assert other.claim() == []
    assert other.state(claim.id).steps == 24
    clock.sleep(601.0)
    assert only(other.claim()).record.steps == 24


def test_a_day_of_workers_that_die_makes_every_request_once(tmp_path: Path) -> None:
    """Five workers, two videos an hour, every third claim dies half way; by a clock that nobody waits for."""
    clock, finished, working = FakeClock(), list[str](), dict[int, tuple[Claim, float, bool]]()
    workers = [queue(tmp_path, f"worker {n}", clock=clock, lease=600.0, retries=10) for n in range(5)]
    workers[0].submit(entries(60))
    claims = 0
    while not workers[0].is_over() and clock.now() < 48 * HOUR:
        for number, worker in enumerate(workers):
            claim, until, dies = working.pop(number, (None, 0.0, False))
            if claim is None:
                if taken := worker.claim():
                    claims += 1
                    working[number] = only(taken), clock.now() + HOUR / 2, claims % 3 == 0
            elif clock.now() < until:
                claim.keep()
                working[number] = claim, until, dies
            elif not dies:
                claim.finish(file="video.mp4")
                finished.append(claim.entry.key)
        clock.sleep(workers[0].beat_seconds)
    assert sorted(finished) == sorted(f"key{n}" for n in range(60))
    assert clock.now() < 24 * HOUR and claims > 75


def test_a_worker_that_was_held_up_hears_that_its_claim_is_lost(tmp_path: Path) -> None:
    clock = FakeClock()
    slow, other = queue(tmp_path, "slow", clock=clock), queue(tmp_path, "other", clock=clock)
    slow.submit(entries(1))
    claim = only(slow.claim())
    assert other.claim() == []
    clock.sleep(61.0)
    taken = only(other.claim())
    with pytest.raises(ClaimLost, match="000000-000 was taken over by another worker"):
        claim.at_step(3)
    with pytest.raises(ClaimLost):
        claim.finish(file="video.mp4")
    taken.finish(file="video.mp4")
    assert other.state(claim.id).result.worker == "other"  # type: ignore[union-attr]


@pytest.mark.parametrize("retries", [0, 2])
def test_what_fails_is_tried_again_and_then_recorded_and_stops_nobody(tmp_path: Path, retries: int) -> None:
    clock, log = FakeClock(), tmp_path / "log"
    one = queue(tmp_path, clock=clock, retries=retries)
    one.submit(entries(4))
    maker = StubMaker(log, poisonous=["key1"])
    work(one, maker, batch_size=1, clock=clock, watcher=Unwatched())
    assert log.read_text().split().count("key1") == retries + 1
    status = one.state("000000-001")
    assert status.state == "failed" and status.result is not None
    assert status.result.error == "ValueError: key1 is poison" and status.result.attempts == retries + 1
    assert one.counts() == {"waiting": 0, "running": 0, "finished": 3, "failed": 1, "cancelled": 0}


def test_a_request_whose_workers_die_at_once_is_recorded_as_failed(tmp_path: Path) -> None:
    clock = FakeClock()
    one = queue(tmp_path, clock=clock, retries=2)
    one.submit(entries(1))
    for attempts in (0, 1, 2):
        assert only(one.claim()).record.attempts == attempts
        assert one.claim() == []
        clock.sleep(61.0)
    assert one.claim() == []
    status = one.state("000000-000")
    assert status.state == "failed" and "its worker died" in status.result.error  # type: ignore[union-attr]


def test_a_worker_that_dies_after_new_steps_does_not_count(tmp_path: Path) -> None:
    clock = FakeClock()
    one = queue(tmp_path, clock=clock, retries=0)
    one.submit(entries(1))
    for steps in (3, 7, 12):
        claim = only(one.claim())
        claim.keep(steps=steps)
        assert one.claim() == []
        clock.sleep(61.0)
    assert only(one.claim()).record.attempts == 0
    assert one.claim() == []
    clock.sleep(61.0)
    assert one.claim() == [] and one.state("000000-000").state == "failed"


def test_what_is_given_back_counts_for_nothing(tmp_path: Path) -> None:
    one = queue(tmp_path, retries=0)
    one.submit(entries(1))
    for number in range(1, 6):
        claim = only(one.claim())
        assert (claim.number, claim.record.attempts) == (number, 0)
        claim.release()
        assert one.state(claim.id).state == "waiting"


def test_a_worker_that_is_stopped_gives_its_requests_back(tmp_path: Path) -> None:
    def stop(claim: Claim) -> None:
        raise KeyboardInterrupt

    one, clock = queue(tmp_path), FakeClock()
    one.submit(entries(2))
    with pytest.raises(KeyboardInterrupt):
        work(one, StubMaker(tmp_path / "log", during=stop), batch_size=2, clock=clock, watcher=Unwatched())
    assert one.counts()["waiting"] == 2 and len(finish_all(queue(tmp_path, "two"))) == 2


def test_cancelling_ends_a_request_wherever_it_is(tmp_path: Path) -> None:
    one = queue(tmp_path)
    waiting, running, finished = one.submit(entries(3))
    assert one.cancel(waiting)
    claim = only(one.claim())
    assert claim.id == running and one.cancel(running)
    with pytest.raises(Cancelled, match="was ended from outside"):
        claim.keep()
    claim.drop()
    assert finish_all(one) == ["key2"] and not one.cancel(finished)
    assert one.is_over() and one.counts() == {"waiting": 0, "running": 0, "finished": 1, "failed": 0, "cancelled": 2}


def test_what_ended_badly_can_be_tried_again(tmp_path: Path) -> None:
    one = queue(tmp_path, retries=0)
    first, second = one.submit(entries(2))
    only(one.claim()).fail("it broke")
    assert finish_all(one) == ["key1"] and one.is_over()
    assert one.retry(first) and not one.retry(second)
    again = queue(tmp_path, "two", retries=0)
    assert not again.is_over() and only(again.claim()).record.attempts == 0


def test_a_claim_file_that_was_never_written_is_taken_over_too(tmp_path: Path) -> None:
    clock = FakeClock()
    one = queue(tmp_path, clock=clock)
    one.submit(entries(1))
    claim_path(one.root / "000000" / "000", 1).touch()
    assert one.claim() == [] and one.state("000000-000").state == "running"
    clock.sleep(61.0)
    assert only(one.claim()).number == 2


def test_requests_of_a_group_are_claimed_together(tmp_path: Path) -> None:
    one, two = queue(tmp_path), queue(tmp_path, "two")
    one.submit([*entries(5, group="a"), *(e for e in entries(9, group="b") if e.key > "key4"), *entries(11)[9:]])
    sizes = [len(q.claim(3)) for q in (one, two, one, two, one)]
    assert sizes == [3, 2, 3, 1, 1]


def test_one_that_was_begun_before_goes_on_alone(tmp_path: Path) -> None:
    one = queue(tmp_path)
    one.submit(entries(4, group="a"))
    for claim in one.claim(2):
        claim.release()
    assert [len(one.claim(4)) for _ in range(3)] == [1, 1, 2]


def test_a_worker_of_this_machine_is_known_to_be_dead_at_once(tmp_path: Path) -> None:
    """Killed with SIGKILL: the kernel lets go of its lock."""
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom wan.batch.identity import Worker\n"
        "from wan.batch.queue import Queue\nfolder = Path(sys.argv[1])\n"
        "q = Queue(folder, worker=Worker.in_folder(folder / 'queue' / 'workers', name='killed'))\n"
        "q.claim()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    clock = FakeClock()
    one = queue(tmp_path, clock=clock)
    one.submit(entries(1))
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=SOURCE_DIR).returncode == -9
    if not this_kernel():
        pytest.skip("this system does not say which kernel runs")
    assert only(one.claim()).number == 2


def test_a_worker_of_this_machine_that_lives_is_not_taken_for_dead_however_silent(tmp_path: Path) -> None:
    if not this_kernel():
        pytest.skip("this system does not say which kernel runs")
    clock, workers = FakeClock(), tmp_path / "queue" / "workers"
    with Worker.in_folder(workers) as worker:
        silent = Queue(tmp_path, worker=worker, lease=60.0, clock=clock)
        silent.submit(entries(1))
        only(silent.claim())
        other = queue(tmp_path, clock=clock)
        assert other.claim() == []
        clock.sleep(1000.0)
        assert other.claim() == []
        assert lives(workers, name=worker.name, kernel=worker.kernel)
        assert lives(workers, name=worker.name, kernel="another machine's") is None
    assert lives(workers, name=worker.name, kernel=this_kernel()) is False
    clock.sleep(10.0)
    assert only(other.claim()).number == 2


def test_a_folder_that_somebody_is_still_in_counts_for_nothing(tmp_path: Path) -> None:
    clock, tries = FakeClock(), list[int]()

    def busy(claim: Claim) -> None:
        tries.append(claim.number)
        if len(tries) < 6:
            raise FolderBusy("somebody is in there")

    one = queue(tmp_path, clock=clock, retries=0)
    one.submit(entries(1))
    work(one, StubMaker(tmp_path / "log", during=busy), batch_size=1, clock=clock, watcher=Unwatched())
    assert one.state("000000-000").state == "finished" and tries == [1, 2, 3, 4, 5, 6]
    assert clock.now() >= 5 * one.beat_seconds / 2


@pytest.mark.parametrize("request_id", ["000000-009", "000007-000", "video", "-1", "../1-2"])
def test_an_id_that_is_none_is_refused(tmp_path: Path, request_id: str) -> None:
    one = queue(tmp_path)
    one.submit(entries(2))
    with pytest.raises(InvalidInput, match=r"there is no request|is not the id of a request; ids look like 000000-017"):
        one.state(request_id)


def test_a_damaged_list_is_refused(tmp_path: Path) -> None:
    one = queue(tmp_path)
    one.submit(entries(2))
    (one.root / "000000.jsonl").write_text("no list\n")
    with pytest.raises(InvalidInput, match="is not a list of requests"):
        queue(tmp_path).claim()


def test_a_damaged_ending_is_refused(tmp_path: Path) -> None:
    one = queue(tmp_path)
    one.submit(entries(1))
    finish_all(one)
    (one.root / "000000" / "000.end").write_text("{}")
    with pytest.raises(InvalidInput, match="does not say how a request ended"):
        one.state("000000-000")


def test_a_long_error_does_not_burst_the_claim_file(tmp_path: Path) -> None:
    one = queue(tmp_path)
    one.submit(entries(1))
    claim = only(one.claim())
    claim.fail('"\\\n模' * 5000)
    content, record = read_claim(claim.path)
    assert len(content) == 1024 and record is not None and record.state == "failed"
    rewrite_claim(claim.path, record)
    assert len(claim.path.read_bytes()) == 1024
