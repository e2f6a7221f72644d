"""Atomic writes: success, failure, a kill; and what JSON may hold."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wan.runs import atomic_path, write_json_atomic, write_text_atomic


def test_success_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".mp4"
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_keeps_the_old_file_and_removes_the_temporary_one(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_kill_never_leaves_a_half_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_text_atomic(path, "old")
    script = (
        "import os, pathlib, signal, sys\n"
        "from wan.runs import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", script, str(path)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".partial-")] == ["run.json"]


def test_the_longest_file_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("视" * 83 + ".mp4")  # 253 of the 255 bytes that a name may have
    write_text_atomic(path, "content")
    assert path.read_text() == "content"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a" / "b" / "text.txt", "content")
    assert (tmp_path / "a" / "b" / "text.txt").read_text() == "content"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "never.txt"):
        pass


def test_json_keeps_chinese_readable_and_takes_paths(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json_atomic(path, {"prompt": "猫在走路", "video": Path("outputs") / "video.mp4"})
    assert "猫在走路" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8"))["video"] == str(Path("outputs") / "video.mp4")


def test_json_survives_an_argument_that_is_not_utf8(tmp_path: Path) -> None:
    prompt = b"caf\xe9".decode("utf-8", errors="surrogateescape")
    write_json_atomic(tmp_path / "run.json", {"prompt": prompt})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"prompt": prompt}


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (float("inf"), ValueError), ({1}, TypeError)])
def test_json_refuses_what_json_lacks_and_keeps_the_old_file(
    tmp_path: Path, value: object, error: type[Exception]
) -> None:
    path = tmp_path / "run.json"
    write_json_atomic(path, {"loss": 1})
    with pytest.raises(error):
        write_json_atomic(path, {"loss": value})
    assert json.loads(path.read_text()) == {"loss": 1}


@pytest.mark.parametrize("has_links", [True, False])
def test_without_overwrite_what_another_process_made_meanwhile_is_kept(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    if not has_links:
        monkeypatch.setattr("os.link", no_links)
    path = tmp_path / "video.mp4"
    with pytest.raises(FileExistsError), atomic_path(path, overwrite=False) as temporary:
        temporary.write_text("mine")
        path.write_text("theirs")
    assert path.read_text() == "theirs" and list(tmp_path.iterdir()) == [path]
    other = tmp_path / "other.mp4"
    with atomic_path(other, overwrite=False) as temporary:
        temporary.write_text("mine")
    assert other.read_text() == "mine" and len(list(tmp_path.iterdir())) == 2
