"""``wan serve``: what it refuses, and real services of the demo model: kill -9, SIGTERM, and going on."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serve.service import RED, Service, until
from wan.cli.main import run
from wan.cli.serve import is_loopback, models_of
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.runs import load_record
from wan.runs.state_file import STATE_NAME

GOOD_TOKEN = "a-token-of-good-length"


@pytest.fixture
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra counts as installed: what is refused is refused before it is imported."""
    monkeypatch.setattr("wan.cli.serve.refuse_without_extra", lambda *, has_page: None)
    monkeypatch.delenv("WAN_TOKEN", raising=False)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--host", "0.0.0.0"], "set a token in the variable WAN_TOKEN"),
        (["--host", "::"], "set a token"),
        (["--allow_host", "videos.example"], "set a token"),
        (["--token", "short"], "at least 16"),
        (["--token", "sixteen letters and spaces"], "without spaces"),
        (["--token", "sixteen-letters-ü"], "at least 16"),
        (["--port", "70000"], "from 0 to 65535"),
        (["--host", "203.0.113.1", "--token", GOOD_TOKEN], "cannot be listened on"),
        (["--host", "no such host", "--token", GOOD_TOKEN], "cannot be listened on"),
        (["--output_dir", "/proc/nowhere"], "cannot hold results"),
        (["--task", "t2v-A14B"], "needs a --ckpt_dir that serves it"),
        (["--ckpt_dir", "/nowhere"], "/nowhere"),
        (["--devices", "cuda:0"], "is not here"),
        (["--device", "gpu"], "is not a device name"),
        (["--device", "cpu", "--devices", "cpu"], "give --devices alone"),
        (["--ulysses_size", "2"], "--ulysses_size 2"),
        (["--max_queue", "0"], "at least 1"),
        (["--max_upload_mib", "0"], "at least 1"),
        (["--max_prompt", "1000000"], "at most 20000"),
        (["--max_cost", "0"], "above 0"),
        (["--max_cost", "nan"], "finite"),
        (["--retries", "-1"], "from 0 to"),
        (["--prot", "1"], "did you mean --port"),
    ],
)
def test_what_cannot_be_served_is_refused(
    needed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    place = [] if "--output_dir" in flags else ["--output_dir", str(tmp_path / "out")]
    assert run("serve", [*place, "--no_page", *flags]) == 2
    said = capsys.readouterr().err
    assert words in said and GOOD_TOKEN not in said and list(tmp_path.iterdir()) == []


def test_a_port_that_is_used_is_refused(needed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        flags = ["--port", str(other.getsockname()[1]), "--output_dir", str(tmp_path / "out"), "--no_page"]
        assert run("serve", flags) == 2
    assert "Address already in use" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_dry_run_checks_and_writes_nothing(
    needed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_TOKEN", GOOD_TOKEN)
    flags = ["--host", "0.0.0.0", "--port", "0", "--dry_run", "--no_page", "--output_dir", str(tmp_path / "out")]
    assert run("serve", flags) == 0
    assert "would serve t2v-demo on http://0.0.0.0:0" in capsys.readouterr().out and list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wan.cli.serve._NEEDED", ("fastapi_that_nobody_has",))
    assert run("serve", ["--no_page"]) == 2
    assert "pip install -r requirements-serve.txt" in capsys.readouterr().err
    monkeypatch.setattr("wan.cli.serve.in_clone", lambda: False)
    assert run("serve", ["--no_page"]) == 2
    assert "pip install 'wan22-shortcut[serve]'" in capsys.readouterr().err


def test_models_are_those_that_the_folders_serve(tiny_checkpoint: Path) -> None:
    assert models_of([], []) == {"t2v-demo": None}
    assert models_of(["t2v-demo"], []) == {"t2v-demo": None}
    assert models_of(["t2v-demo"], [tiny_checkpoint]) == {"t2v-demo": tiny_checkpoint}
    assert models_of([], [tiny_checkpoint])["t2v-A14B"] == tiny_checkpoint
    other = tiny_checkpoint.parent / "other"
    other.symlink_to(tiny_checkpoint)
    with pytest.raises(InvalidInput, match="both serve t2v-A14B"):
        models_of([], [tiny_checkpoint, other])
    with pytest.raises(InvalidInput, match="serves none of t2v-demo, t2v-A14B; leave it out"):
        models_of(["t2v-demo", "t2v-A14B"], [tiny_checkpoint, tiny_checkpoint.parent])


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "localhost.example", "")))


def started(folder: Path) -> tuple[subprocess.Popen[str], Service]:
    command = [sys.executable, "-m", "wan", "serve", "--no_page", "--port", "0", "--output_dir", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(SOURCE_DIR), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    process = subprocess.Popen(command, cwd=folder.parent, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving t2v-demo on http://127.0.0.1:"), line
    return process, Service(line.split()[-1], None, None)  # type: ignore[arg-type]


def worker_of(folder: Path) -> int:
    """The process of the one worker that works in a folder."""
    locks = folder / "queue" / "workers"
    until(lambda: locks.is_dir() and any(locks.iterdir()), seconds=60)
    found = [int(lock.name.rsplit("-", 2)[1]) for lock in locks.iterdir()]
    (process,) = (one for one in found if lives(one))
    return process


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def has_preview(service: Service, video: str) -> bool:
    """A thread writes it, after the first step or a little later."""
    import openai

    try:
        found = service.client().videos.with_raw_response.download_content(video, extra_query={"variant": "preview"})
    except openai.NotFoundError:
        return False
    assert found.content[:4] == b"RIFF"
    return True


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The Sora API")
@pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes in /proc")
def test_a_service_that_is_killed_or_stopped_goes_on(tmp_path: Path) -> None:
    for name in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "openai"):
        pytest.importorskip(name)
    folder = tmp_path / "out"
    process, service = started(folder)
    try:
        posted = [service.post({"prompt": RED, "num_frames": frames})[1]["id"] for frames in (25, 81)]
        worker = worker_of(folder)
        until(lambda: service.video(posted[0])["wan"]["step"] >= 3, seconds=90)
        process.kill()
        process.wait()
        until(lambda: not lives(worker), seconds=20)
        process, service = started(folder)
        worker = worker_of(folder)
        os.kill(worker, signal.SIGKILL)
        until(lambda: service.video(posted[0])["status"] == "completed", seconds=90)
        assert worker_of(folder) != worker
        video = service.client().videos.download_content(posted[0]).read()
        assert video[4:8] == b"ftyp"
        until(lambda: service.video(posted[1])["wan"]["step"] >= 2, seconds=90)
        until(lambda: has_preview(service, posted[1]), seconds=90)
        worker = worker_of(folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0 and not lives(worker)
    finally:
        process.kill()
        process.wait()
    first, second = sorted(folder.glob("t2v-demo_*"))
    resumed = load_record(first)
    assert resumed["status"] == "finished" and len(resumed["resumed"]) == 1
    assert load_record(second)["status"] == "interrupted" and (second / STATE_NAME).is_file()
