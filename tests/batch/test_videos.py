"""Real videos of the demo model: two workers, kill -9 in the middle of one, poison, restarts, shared forwards."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel

from tests.batch.videos import FLAGS, LINES, batch, difference, latents, statuses, until, written
from wan.batch.lines import Faults, LineReader
from wan.batch.making import KeepsClaims
from wan.batch.planned import Planner
from wan.cli.batch import build_parser
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.models.experts import DroppedExperts
from wan.runs import load_record
from wan.runs.latents import load_latents
from wan.runs.state_file import STATE_NAME
from wan.sampling.observers import StepEvent
from wan.sampling.plan import Expert


def test_one_worker_makes_every_request_once_with_one_session(sequential: Path) -> None:
    found = statuses(sequential)
    assert [one.state for one in found.values()] == ["finished"] * 4
    assert all((sequential / one.result.file).is_file() for one in found.values() if one.result)
    records = {line: load_record(sequential / one.entry.folder) for line, one in found.items()}
    assert records[1]["seed"] == 1 and records[4]["settings"]["cfg_truncate_steps"] == 2
    loads = sorted(record["timing"]["expert_switch"] + record["timing"]["model_load"] for record in records.values())
    assert loads[2] < loads[3] / 5, "the experts are loaded by the first request alone"
    for record in records.values():
        forwards = record["forwards"]
        assert forwards["executed"] == forwards["planned"] and forwards["executed_by"] == forwards["planned_by"]
        assert forwards["executed_flops"] == pytest.approx(record["plan"]["price"]["planned"]["flops"], rel=1e-6)
    index = json.loads((sequential / "batch.json").read_text("utf-8"))
    assert index["counts"]["finished"] == 4 and len(index["requests"]) == 4


def test_each_is_the_video_that_generate_makes(sequential: Path, tmp_path: Path) -> None:
    words = ["--prompt", str(LINES[1]["prompt"]), "--base_seed", "2", "--output_dir", str(tmp_path), "--quiet"]
    assert run("generate", [*FLAGS, *words]) == 0
    (alone,) = tmp_path.glob("t2v-demo_*")
    assert torch.equal(load_latents(alone / "latents.safetensors"), latents(sequential)[2])


def test_a_restart_skips_what_is_finished(sequential: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in sequential.rglob("*") if path.suffix in (".mp4", ".c1")}
    monkeypatch.setattr("wan.cli.batch.run", None)  # no worker is started
    assert batch(sequential.parent / "prompts.jsonl", sequential, "--quiet") == 0
    assert before == {path: path.stat().st_mtime_ns for path in before} and len(before) == 8


def started(path: Path, folder: Path) -> subprocess.Popen[bytes]:
    flags = ["--output_dir", str(folder), *FLAGS, "--lease", "8", "--quiet"]
    command = [sys.executable, "-m", "wan", "batch", str(path), *flags]
    environment = os.environ | {"PYTHONPATH": str(SOURCE_DIR), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(command, cwd=folder.parent, env=environment)


def test_a_killed_workers_video_goes_on_bit_equal_in_the_other(sequential: Path, tmp_path: Path) -> None:
    path, out = written(tmp_path, LINES), tmp_path / "out"
    workers = [started(path, out) for _ in range(2)]
    try:
        until(lambda: any(out.glob(f"*/{STATE_NAME}")))
        (first, *_) = out.glob(f"*/{STATE_NAME}")
        owner = next(one for one in statuses(out).values() if one.entry.folder == first.parent.name)
        victim = next(worker for worker in workers if f"-{worker.pid}-" in owner.worker)
        os.kill(victim.pid, signal.SIGKILL)
        assert [worker.wait(timeout=200) for worker in workers if worker is not victim] == [0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    found, same = latents(out), latents(sequential)
    assert found.keys() == same.keys() == {1, 2, 3, 4}
    assert all(torch.equal(found[line], same[line]) for line in same)
    taken_over = load_record(out / owner.entry.folder)
    assert taken_over["status"] == "finished" and "resumed" in taken_over
    assert len(list(out.glob("0*"))) == 4 and not list(out.glob(f"*/{STATE_NAME}"))


def test_a_poisonous_request_is_recorded_and_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = written(tmp_path, LINES[1:3]), tmp_path / "out"
    out.mkdir()
    (out / folder_of(path, line=1)).write_text("a file where the run folder should be")
    assert batch(path, out, "--retries", "1") == 1
    found = statuses(out)
    assert {line: one.state for line, one in found.items()} == {1: "failed", 2: "finished"}
    assert found[1].result is not None and "cannot be made a run folder" in found[1].result.error
    assert found[1].result.attempts == 2
    said = capsys.readouterr()
    assert "1 of 2 requests are finished, 1 failed" in said.err and "Traceback" not in said.err + said.out
    assert "cannot be made a run folder" in (out / "index.html").read_text("utf-8")
    (out / folder_of(path, line=1)).unlink()
    assert batch(path, out, "--retry_failed") == 0


def folder_of(path: Path, *, line: int) -> str:
    """The name that the run folder of a line will have."""
    faults = Faults(path)
    defaults = build_parser().parse_args([str(path), *FLAGS])
    found = Planner(faults).plan(LineReader(path, defaults).read(faults))
    return next(one.entry.folder for one in found if one.line == line)


def test_shared_forwards_make_the_same_latents(sequential: Path, tmp_path: Path) -> None:
    assert batch(written(tmp_path, LINES), tmp_path / "out", "--batch_size", "4", "--quiet") == 0
    found, same = latents(tmp_path / "out"), latents(sequential)
    assert found.keys() == same.keys()
    assert all(difference(found[line], same[line]) < 1e-5 for line in same)
    shared, alone = (
        {line: load_record(folder / one.entry.folder) for line, one in statuses(folder).items()}
        for folder in (tmp_path / "out", sequential)
    )
    assert [one.get("shared_forwards", {"size": 1})["size"] for one in shared.values()] == [1, 2, 2, 1]
    results = [one.result for one in statuses(tmp_path / "out").values()]
    assert [one and (one.attempts, one.error) for one in results] == [(0, "")] * len(LINES), "no second try was needed"
    assert not any("resumed" in record for record in shared.values())
    for line, record in shared.items():
        flops = alone[line]["forwards"].pop("executed_flops")
        assert record["forwards"].pop("executed_flops") == pytest.approx(flops)
        assert record["forwards"] == alone[line]["forwards"]


class Stopped(BaseException):
    """As if the process had been killed."""


def test_stage_by_stage_makes_the_same_latents_with_one_switch(
    sequential: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, fill = [], DroppedExperts.take

    def take(self: DroppedExperts, expert: Expert) -> WanTransformer3DModel:
        taken.append(expert)
        return fill(self, expert)

    monkeypatch.setattr(DroppedExperts, "take", take)
    path, out = written(tmp_path, LINES), tmp_path / "out"
    assert batch(path, out, "--videos_per_switch", "4", "--offload", "expert", "--quiet") == 0
    assert taken == [Expert.HIGH_NOISE, Expert.LOW_NOISE]
    found, same = latents(out), latents(sequential)
    assert found.keys() == same.keys() and all(torch.equal(found[line], same[line]) for line in same)
    results = [one.result for one in statuses(out).values()]
    assert [one and (one.attempts, one.error) for one in results] == [(0, "")] * len(LINES), "a pause is no failure"


def test_what_keeps_no_resume_file_is_made_in_one_go(tmp_path: Path) -> None:
    path, out = written(tmp_path, [{**line, "no_resume_file": True} for line in LINES[1:3]]), tmp_path / "out"
    assert batch(path, out, "--videos_per_switch", "2", "--quiet") == 0
    records = [load_record(out / one.entry.folder) for one in statuses(out).values()]
    assert len(records) == 2 and not any("resumed" in record for record in records)


def test_a_stopped_shared_run_goes_on_one_by_one(
    sequential: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = KeepsClaims.on_step_end

    def on_step_end(self: KeepsClaims, event: StepEvent) -> None:
        keep(self, event)
        if event.step.index == 3 and len(self.claims) == 2:
            raise Stopped

    monkeypatch.setattr(KeepsClaims, "on_step_end", on_step_end)
    path, out = written(tmp_path, LINES[1:3]), tmp_path / "out"
    with pytest.raises(Stopped):
        batch(path, out, "--batch_size", "2", "--quiet")
    assert len(list(out.glob(f"*/{STATE_NAME}"))) == 2
    assert batch(path, out, "--batch_size", "2", "--quiet") == 0
    found, same = latents(out), latents(sequential)
    assert all(difference(found[line], same[line + 1]) < 1e-5 for line in found)
    records = [load_record(out / one.entry.folder) for one in statuses(out).values()]
    assert all("resumed" in record and len(record["timing"]["steps"]) == 10 for record in records)
    for record in records:
        assert record["forwards"]["executed"] == record["forwards"]["planned"]
        flops = record["plan"]["price"]["planned"]["flops"]
        assert record["forwards"]["executed_flops"] == pytest.approx(flops, rel=1e-6)
