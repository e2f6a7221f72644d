"""The desk: quotes, requests and their states, cancel, resume, delete, run folders, and a start after a kill."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.serve.service import RED, STEPS, settings, stub_desk, until
from wan.batch.queue import Queue
from wan.errors import InvalidInput
from wan.image_input import picture_of
from wan.serve.desk import Desk
from wan.serve.views import QueueFull, RequestRefused, UnknownEntry


def test_a_quote_says_what_the_dry_run_says_and_stores_nothing(tmp_path: Path) -> None:
    with stub_desk(tmp_path) as (desk, _):
        plain = desk.quote({})
        assert plain.share == plain.forward_share == 1.0 and plain.expectation is None and plain.seconds is None
        assert plain.size == (64, 64) and plain.frame_num == 49 and "49 frames of 64x64" in plain.table
        assert plain.notices == ()
        half = desk.quote({"prompt": RED, "budget": 0.5})
        assert half.forward_share <= 0.5 and "36 clips" in str(half.expectation) and "fraction" in half.price
        assert half.expectation not in half.notices
        assert "becomes 13" in " ".join(desk.quote({"frame_num": 12}).notices)
        assert desk.entries() == [] and list(tmp_path.iterdir()) == [tmp_path / "queue"]


def test_a_request_is_made_and_its_settings_make_it_again(tmp_path: Path) -> None:
    with stub_desk(tmp_path) as (desk, _maker):
        first = desk.submit({"prompt": RED, "shortcuts": {"budget": 0.5}, "size": "96x64"})
        assert (
            first.state in ("waiting", "running") and first.seed >= 0 and first.size == (96, 64) and first.share < 0.6
        )
        until(lambda: desk.entry(first.id).is_over)
        made = desk.entry(first.id)
        assert (made.state, made.progress, made.error) == ("finished", 1.0, "")
        assert made.file is not None and made.file.read_bytes() == b"mp4 of " + RED.encode()
        assert made.file.parent == made.run_folder and made.run_folder.parent == tmp_path
        assert made.ended_at is not None and made.started_at is not None and made.ended_at >= made.created_at - 1
        again = desk.submit(made.settings)
        assert again.seed == first.seed and again.id != first.id and again.run_folder != first.run_folder
        assert again.settings == made.settings
        assert [entry.id for entry in desk.entries()] == [again.id, first.id] == desk.ids()


def test_a_request_is_followed_step_by_step(tmp_path: Path) -> None:
    with stub_desk(tmp_path, is_open=False) as (desk, maker):
        maker.step_seconds = 0.05
        one, two = desk.submit({"prompt": RED}), desk.submit({"prompt": RED})
        assert desk.entry(two.id).position == 1 and desk.entry(one.id).position in (0, None)
        maker.gate.set()
        until(lambda: desk.entry(one.id).step >= 2)
        running = desk.entry(one.id)
        assert running.state == "running" and 0 < running.progress < 1 and running.expert == "high_noise"
        until(lambda: desk.entry(two.id).is_over)
        until(lambda: desk.quote({}).seconds is not None)
        third = desk.submit({"prompt": RED})
        assert third.eta_seconds is not None and third.eta_seconds > 0
        until(lambda: desk.steps_done() > STEPS)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prompt": RED, "frame_num": 0}, "frame_num", "--frame_num 0 must be at least 1"),
        ({"prompt": RED, "budget": 2}, "budget", "must be above 0 and at most 1"),
        ({"prompt": RED, "promt": "x"}, "promt", "did you mean prompt"),
        ({"prompt": RED, "shortcuts": {"cach": "sea"}}, "cach", "did you mean cache"),
        ({"prompt": RED, "cache_threshold": 1}, "cache_threshold", "--cache none"),
        ({"prompt": " "}, "prompt", "is missing"),
        ({}, "prompt", "is missing"),
        ({"prompt": "x" * 4001}, "prompt", "4,000 are the most"),
        ({"prompt": "a\0b"}, "prompt", "NUL"),
        ({"prompt": RED, "task": "t2v-A14B"}, "task", "is not served here"),
        ({"prompt": RED, "base_seed": -2}, "base_seed", "from 0 to"),
        ({"prompt": RED, "sample_steps": 900, "frame_num": 81}, None, "times is the most here"),
        ({"prompt": RED, "image": "/etc/passwd"}, "image", "nobody may name"),
        *(
            ({"prompt": RED, name: value}, name, "for the operator")
            for name, value in (
                ("ckpt_dir", "/"),
                ("plan", "/etc/passwd"),
                ("text_cache", "/tmp"),
                ("device", "cpu"),
                ("enable_debug", True),
                ("compile", True),
                ("no_resume_file", True),
                ("machine", {"dtype": "float16"}),
            )
        ),
        ({"prompt": RED, "shortcuts": {"plan": "/etc/passwd"}}, "plan", "for the operator"),
        ({"prompt": RED, "output_dir": "/tmp"}, "output_dir", "is not a field"),
        ({"prompt": RED, "save_file": "/tmp/x.mp4"}, "save_file", "is not a field"),
    ],
)
def test_a_refusal_names_its_field_and_stores_nothing(
    tmp_path: Path, fields: dict[str, object], field: str | None, words: str
) -> None:
    desk = Desk(settings(tmp_path))
    with pytest.raises(RequestRefused, match=words) as refused:
        desk.submit(fields)
    assert refused.value.field == field
    assert list(tmp_path.iterdir()) == [tmp_path / "queue"]
    desk.stop()


def test_a_cancelled_request_keeps_its_files_and_goes_on(tmp_path: Path) -> None:
    with stub_desk(tmp_path, is_open=False) as (desk, maker):
        running, waiting = desk.submit({"prompt": RED}), desk.submit({"prompt": "a green square"})
        until(lambda: desk.entry(running.id).state == "running")
        assert desk.cancel(running.id).state == desk.cancel(waiting.id).state == "cancelled"
        until(lambda: desk.counts()["running"] == 0)
        assert running.run_folder.is_dir() and desk.cancel(waiting.id).state == "cancelled"
        assert desk.resume(waiting.id).state in ("waiting", "running")
        maker.gate.set()
        until(lambda: desk.entry(waiting.id).state == "finished")
        assert desk.retry(running.id).error == ""
        until(lambda: desk.entry(running.id).state == "finished")
        assert desk.resume(running.id).state == "finished"


def test_a_preferred_request_is_the_next_that_is_made_through_restarts(tmp_path: Path) -> None:
    with stub_desk(tmp_path, is_open=False) as (desk, maker):
        entries = [desk.submit({"prompt": f"prompt {number}"}) for number in range(4)]
        until(lambda: desk.entry(entries[0].id).state == "running")
        assert [desk.entry(entry.id).position for entry in entries] == [None, 1, 2, 3]
        assert desk.prefer(entries[2].id).position == 1 and desk.prefer(entries[3].id).position == 1
        assert [desk.entry(entry.id).position for entry in entries] == [None, 3, 2, 1]
        assert {entry.id: entry.position for entry in desk.entries()}[entries[2].id] == 2
        assert desk.prefer(entries[0].id).state == "running"
        newest = desk.submit({"prompt": "prompt 4"})
        assert newest.position == 4 and desk.prefer(desk.cancel(newest.id).id).state == "cancelled"
        assert desk.resume(newest.id).position == 4
        assert desk.resume(desk.cancel(entries[1].id).id).position == 3
        with pytest.raises(UnknownEntry):
            desk.prefer("video_none")
    with stub_desk(tmp_path) as (desk, maker):
        until(lambda: desk.counts()["finished"] == 5)
        assert maker.made == [[*entries, newest][place].run_folder.name for place in (3, 2, 0, 1, 4)]


def test_the_time_until_a_preferred_video_is_there_counts_what_is_before_it(tmp_path: Path) -> None:
    with stub_desk(tmp_path) as (desk, _):
        done = desk.submit({"prompt": RED})
        until(lambda: desk.entry(done.id).is_over)
        until(lambda: desk.quote({}).seconds is not None)
    desk = Desk(settings(tmp_path))
    try:
        one, two = desk.submit({"prompt": RED}), desk.submit({"prompt": RED})
        assert one.eta_seconds is not None and two.eta_seconds == pytest.approx(2 * one.eta_seconds)
        assert desk.prefer(two.id).eta_seconds == pytest.approx(one.eta_seconds)
        assert desk.entry(one.id).eta_seconds == pytest.approx(two.eta_seconds)
    finally:
        desk.stop()


def test_a_failed_request_says_why(tmp_path: Path) -> None:
    with stub_desk(tmp_path) as (desk, _):
        entry = desk.submit({"prompt": "poison"})
        until(lambda: desk.entry(entry.id).is_over)
        failed = desk.entry(entry.id)
        assert failed.state == "failed" and "is poison" in failed.error and failed.file is None
        assert desk.counts()["failed"] == 1


def test_deleting_removes_the_folder_of_that_run_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine", encoding="utf-8")
    with stub_desk(tmp_path, is_open=False) as (desk, maker):
        running, other = desk.submit({"prompt": RED}), desk.submit({"prompt": RED})
        until(lambda: desk.entry(running.id).state == "running")
        (running.run_folder / "link").symlink_to(precious)
        desk.delete(running.id)
        with pytest.raises(UnknownEntry):
            desk.entry(running.id)
        until(lambda: not running.run_folder.exists())
        maker.gate.set()
        until(lambda: desk.entry(other.id).is_over)
        desk.delete(other.id)
        assert not other.run_folder.exists() and desk.ids() == [] and desk.counts()["finished"] == 0
        assert (precious / "file").read_text("utf-8") == "mine"
        for ask in (desk.delete, desk.cancel, desk.resume, desk.prefer):
            with pytest.raises(UnknownEntry):
                ask(other.id)
    with stub_desk(tmp_path) as (again, _):
        assert again.ids() == []


def test_a_run_folder_that_is_a_link_is_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "video.mp4").write_bytes(b"mine")
    folder = tmp_path / "out"
    with stub_desk(folder) as (desk, _):
        entry = desk.submit({"prompt": RED})
        until(lambda: desk.entry(entry.id).is_over)
        video = entry.run_folder / "video.mp4"
        video.unlink()
        video.symlink_to(outside / "video.mp4")
    with stub_desk(folder) as (desk, _):
        assert desk.entry(entry.id).file is None
        video.unlink()
        for path in sorted(entry.run_folder.iterdir()):
            path.unlink()
        entry.run_folder.rmdir()
        entry.run_folder.symlink_to(outside)
        desk.delete(entry.id)
        assert (outside / "video.mp4").read_bytes() == b"mine"


def test_so_many_may_wait_and_no_more(tmp_path: Path) -> None:
    with stub_desk(tmp_path, is_open=False, max_queue=2) as (desk, _maker):
        first = desk.submit({"prompt": RED})
        until(lambda: desk.entry(first.id).state == "running")
        waiting = [desk.submit({"prompt": RED}) for _ in range(2)]
        with pytest.raises(QueueFull, match="2 are the most") as full:
            desk.submit({"prompt": RED})
        assert full.value.retry_after >= 1
        desk.cancel(waiting[0].id)
        desk.submit({"prompt": RED})
        with pytest.raises(QueueFull):
            desk.resume(waiting[0].id)


def test_everything_is_there_again_after_a_start(tmp_path: Path) -> None:
    with stub_desk(tmp_path) as (desk, _):
        done = desk.submit({"prompt": RED, "budget": 0.5})
        until(lambda: desk.entry(done.id).is_over)
        before = desk.entry(done.id)
    with stub_desk(tmp_path, is_open=False) as (desk, _):
        assert desk.entry(done.id) == before
        assert desk.quote({}).seconds is not None  # learned from what is on disk
        left = desk.submit({"prompt": RED})
        until(lambda: desk.entry(left.id).state == "running")
    with stub_desk(tmp_path) as (desk, maker):
        until(lambda: desk.entry(left.id).state == "finished")
        assert maker.made == [left.run_folder.name]


def test_one_service_works_in_a_folder(tmp_path: Path) -> None:
    with stub_desk(tmp_path), pytest.raises(InvalidInput, match="belongs to another service"):
        Desk(settings(tmp_path))
    Desk(settings(tmp_path)).stop()


def test_run_folders_of_the_command_line_are_listed_too(tmp_path: Path) -> None:
    alone = tmp_path / "by hand" / "t2v-demo_1"
    alone.mkdir(parents=True)
    record = {"status": "failed", "prompt": "p", "task": "t2v-demo", "seed": 3, "settings": {"cfg_truncate_steps": 5}}
    (alone / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{", encoding="utf-8")
    with stub_desk(tmp_path) as (desk, _):
        entry = desk.submit({"prompt": RED})
        until(lambda: desk.entry(entry.id).is_over)
        newest, oldest = desk.runs()
        assert newest.entry == entry.id and newest.file is not None and newest.status == "finished"
        assert (oldest.folder, oldest.entry, oldest.seed, oldest.file) == (alone, None, 3, None)
        assert oldest.shortcuts.startswith("CFG truncation 5")


def test_a_picture_is_looked_at_before_anything_is_stored(tmp_path: Path) -> None:
    content = BytesIO()
    Image.new("RGB", (64, 48), "red").save(content, "PNG")
    desk = Desk(settings(tmp_path))
    with pytest.raises(RequestRefused, match="starts from text alone") as refused:
        desk.submit({"prompt": RED}, content.getvalue())
    assert refused.value.field == "image"
    with pytest.raises(RequestRefused, match="cannot be read as a picture"):
        desk.quote({"prompt": RED}, b"<svg>")
    with pytest.raises(InvalidInput, match="are the most"):
        picture_of(content.getvalue(), name="--image", most_pixels=3000)
    desk.stop()


def test_what_wan_batch_put_into_the_folder_is_made_and_listed(tmp_path: Path) -> None:
    from tests.batch.stubs import entries

    with stub_desk(tmp_path) as (desk, _):
        (one,) = entries(1, session="x")
        (tmp_path / one.folder).mkdir()
        Queue(tmp_path).submit([one])
        until(lambda: any(entry.state == "finished" for entry in desk.entries()))
        (entry,) = desk.entries()
        assert entry.prompt == "prompt 0" and entry.file is not None
