"""run.json: whole after every change, ends with the right status, clear when it cannot be read."""

import json
from pathlib import Path

import pytest

from wan.errors import InvalidInput
from wan.runs import RECORD_NAME, RunRecord, load_record


def test_a_record_starts_running_and_is_rewritten_at_every_change(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, {"task": "t2v-demo", "forwards": {"planned": 40}})
    assert load_record(tmp_path) == {"status": "running", "task": "t2v-demo", "forwards": {"planned": 40}}
    record.update(forwards={"planned": 40, "executed": 40}, timing={"inference_seconds": 1.5})
    assert load_record(tmp_path) == {
        "status": "running",
        "task": "t2v-demo",
        "forwards": {"planned": 40, "executed": 40},
        "timing": {"inference_seconds": 1.5},
    }
    assert record.sections == load_record(tmp_path)


def test_the_block_ends_the_record(tmp_path: Path) -> None:
    with RunRecord(tmp_path, {"seed": 42}) as record:
        record.update(outputs={"video": Path("video.mp4")})
    assert load_record(tmp_path) == {"status": "finished", "seed": 42, "outputs": {"video": "video.mp4"}}


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("no room"), "failed", "ValueError: no room"),
        (SystemExit(1), "failed", "SystemExit: 1"),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_an_error_ends_the_record_and_goes_on(
    tmp_path: Path, error: BaseException, status: str, text: str | None
) -> None:
    with pytest.raises(type(error)), RunRecord(tmp_path, {}):
        raise error
    saved = load_record(tmp_path)
    assert (saved["status"], saved.get("error")) == (status, text)


def test_a_status_that_the_block_sets_stays(tmp_path: Path) -> None:
    with RunRecord(tmp_path, {}) as record:
        record.update(status="interrupted", outputs={"latents": "latents.safetensors"})
    assert load_record(tmp_path)["status"] == "interrupted"


def test_an_unknown_status_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        RunRecord(tmp_path, {"status": "done"})


def test_what_cannot_be_written_changes_neither_file_nor_object(tmp_path: Path) -> None:
    record = RunRecord(tmp_path, {"seed": 42})
    with pytest.raises(ValueError, match="JSON"):
        record.update(timing={"seconds": float("nan")})
    assert load_record(tmp_path) == dict(record.sections) == {"status": "running", "seed": 42}


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"is not a run folder: it has no run\.json"):
        load_record(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [('{"task": ', "cannot be read as JSON"), (json.dumps([1]), "holds no JSON object")]
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / RECORD_NAME).write_text(content)
    with pytest.raises(InvalidInput, match=message):
        load_record(tmp_path)
