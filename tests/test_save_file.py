"""Files on the way to the end of a run: its own --save_file is written again, another's is kept, the disk was full."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.test_resume import SHORT, Stopped, change, latents, made, resumed, run_in, stopped
from wan.cli.main import run as run_command
from wan.errors import InvalidInput
from wan.folder_run import FolderRun
from wan.resuming import earlier_run
from wan.runs import load_record
from wan.runs.video import read_video


def test_a_run_that_was_killed_when_its_save_file_was_there_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is its own, and is written again; another's in that place is kept and named."""
    asked = tmp_path / "asked.mp4"
    monkeypatch.setattr(FolderRun, "_say_timing", lambda *_: (_ for _ in ()).throw(Stopped))
    run = stopped([*SHORT, "--save_file", str(asked)], tmp_path / "outputs")
    monkeypatch.undo()
    change(run, "status", to="running")
    resumed(run)
    assert load_record(run)["status"] == "finished" and read_video(asked).shape == (9, 64, 64, 3)
    change(run, "status", to="running")
    shutil.copy(run / "run.json", asked)
    with pytest.raises(InvalidInput, match=r"--save_file .* exists"):
        earlier_run(run)


def test_a_run_whose_disk_was_full_when_its_latents_were_kept_goes_on(tmp_path: Path) -> None:
    """The record could not take the times any more."""
    run = made(SHORT, tmp_path)
    (run / "video.mp4").unlink()
    record = {name: value for name, value in load_record(run).items() if name not in ("timing", "outputs")}
    (run / "run.json").write_text(json.dumps(record | {"status": "failed"}), encoding="utf-8")
    resumed(run)
    assert load_record(run)["status"] == "finished" and read_video(run / "video.mp4").shape == (9, 64, 64, 3)


def test_a_save_file_that_another_process_made_meanwhile_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, keep = tmp_path / "asked.mp4", FolderRun._save

    def slow(self: FolderRun, pieces: Any) -> Path:
        asked.write_text("another's")
        return keep(self, pieces)

    monkeypatch.setattr(FolderRun, "_save", slow)
    flags = [*SHORT, "--save_file", str(asked), "--output_dir", str(tmp_path / "outputs"), "--quiet"]
    assert run_command("generate", flags) == 1
    assert "another process has made" in capsys.readouterr().err and asked.read_text() == "another's"
    assert latents(run_in(tmp_path / "outputs")).ndim == 4
