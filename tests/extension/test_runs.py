"""Prompt extension in whole runs: both prompts recorded, nothing asked twice, the key nowhere, every failure said."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.extension.stub_service import KEY, PROMPT, StubService, answer, good
from tests.test_resume import Stopped
from wan.cli.main import run as run_command
from wan.errors import ExtensionFailed, InvalidInput
from wan.extending import extended_job
from wan.job import Job, prepare
from wan.request import parse_request
from wan.run_parts import ResumeFile
from wan.runs import load_record
from wan.runs.latents import load_latents
from wan.runs.video import read_settings
from wan.sampling.observers import StepEvent
from wan.session import Session

IDEA = "a red circle"
SERVICE = ["--use_prompt_extend", "--prompt_extend_method", "openai", "--prompt_extend_model", "a-model"]


@pytest.fixture
def service(stub: StubService, monkeypatch: pytest.MonkeyPatch) -> StubService:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
    stub.script = [good()]
    return stub


@pytest.fixture
def short(tiny_checkpoint: Path, tmp_path: Path) -> list[str]:
    """Flags of a run that takes a second."""
    argv = ["--task", "t2v-demo", "--ckpt_dir", str(tiny_checkpoint), "--size", "32*32", "--frame_num", "5"]
    return [*argv, "--sample_steps", "2", "--base_seed", "3", "--prompt", IDEA, "--output_dir", str(tmp_path / "out")]


def run_in(tmp_path: Path) -> Path:
    (run,) = (tmp_path / "out").iterdir()
    return run


def test_both_prompts_are_recorded_and_the_command_asks_nobody(
    service: StubService, short: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("generate", [*short, *SERVICE]) == 0
    out = capsys.readouterr().out
    assert f"extended prompt: {PROMPT}" in out and out.index("prompt extension sends") < out.index("extended prompt")
    run = run_in(tmp_path)
    record = load_record(run)
    assert record["prompt"] == PROMPT and record["prompt_extension"]["original"] == IDEA
    assert record["prompt_extension"]["uploaded"].startswith("prompt extension sends the prompt (12 characters) to ")
    assert "a-red-circle" in run.name  # named after what was asked for
    written = read_settings(run / "video.mp4")
    assert (written["prompt"], written["original_prompt"]) == (PROMPT, IDEA)
    # the recorded command gives the same video, and the service is not asked again
    words = shlex.split(record["command"])
    assert PROMPT in words and not [word for word in words if "extend" in word and word.startswith("--")]
    service.requests.clear()
    again = tmp_path / "again"
    assert run_command("generate", [*words[2:], "--output_dir", str(again)]) == 0
    (second,) = again.iterdir()
    assert torch.equal(load_latents(second / "latents.safetensors"), load_latents(run / "latents.safetensors"))
    assert service.requests == []


def test_the_key_is_nowhere(
    service: StubService, short: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("generate", [*short, *SERVICE]) == 0
    assert run_command("generate", [*short, *SERVICE, "--dry_run"]) == 0
    service.script = [answer(401, f"no: {KEY}".encode())]
    assert run_command("generate", [*short, *SERVICE]) == 1
    said = capsys.readouterr()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert KEY not in said.out + said.err and len(files) >= 3
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_resumed_run_reads_its_extension_from_the_record(
    service: StubService, short: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: ResumeFile, event: StepEvent) -> None:
        keep(self, event)
        self.wait()
        raise Stopped

    keep = ResumeFile.on_step_end
    with monkeypatch.context() as patch:
        patch.setattr(ResumeFile, "on_step_end", stop)
        with pytest.raises(Stopped):
            run_command("generate", [*short, *SERVICE])
    run = run_in(tmp_path)
    service.requests.clear()
    monkeypatch.delenv("OPENAI_API_KEY")  # not even the key is needed
    # the command that began the run may stand beside --resume
    assert run_command("generate", [*short, *SERVICE, "--resume", str(run)]) == 0
    record = load_record(run)
    assert record["status"] == "finished" and record["prompt"] == PROMPT and service.requests == []
    assert record["prompt_extension"]["original"] == IDEA


def test_a_record_that_lost_its_extension_is_refused(
    service: StubService, short: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("generate", [*short, *SERVICE]) == 0
    path = run_in(tmp_path) / "run.json"
    record = json.loads(path.read_text())
    del record["prompt_extension"]
    path.write_text(json.dumps(record))
    assert run_command("generate", ["--resume", str(path)]) == 2
    assert "does not hold its extended prompt" in capsys.readouterr().err and len(service.requests) == 1


def test_a_service_that_fails_stops_the_run_before_it_has_a_folder(
    service: StubService, short: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.script = [answer(400)]
    assert run_command("generate", [*short, *SERVICE]) == 1
    error = capsys.readouterr().err
    assert "refuses the request: HTTP 400; --prompt_extend_fallback would go on" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_with_the_fallback_the_run_has_the_prompt_as_it_is(
    service: StubService, short: list[str], tmp_path: Path
) -> None:
    service.script = [answer(400)]
    assert run_command("generate", [*short, *SERVICE, "--prompt_extend_fallback"]) == 0
    record = load_record(run_in(tmp_path))
    assert record["prompt"] == record["prompt_extension"]["extended"] == IDEA
    assert "HTTP 400" in record["prompt_extension"]["failure"]


@pytest.mark.parametrize("missing", ["key", "model"])
def test_bad_input_is_refused_in_a_dry_run_too_also_with_the_fallback(
    missing: str,
    service: StubService,
    short: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if missing == "key":
        monkeypatch.delenv("OPENAI_API_KEY")
        monkeypatch.delenv("OPENAI_BASE_URL")
    flags = SERVICE if missing == "key" else SERVICE[:3]
    for dry in ([], ["--dry_run"]):
        assert run_command("generate", [*short, *flags, "--prompt_extend_fallback", *dry]) == 2
        assert ("needs a key" if missing == "key" else "the name of a model") in capsys.readouterr().err
    assert service.requests == []


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    service: StubService, short: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("generate", [*short, *SERVICE, "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "the prompt is extended in Chinese by a-model (openai)" in out
    assert "prompt extension sends the prompt (12 characters) to 127.0.0.1" in out
    assert "--dry_run extends and sends nothing" in out and service.requests == []
    assert "is of no use to the demo model" in out


def test_a_model_that_this_machine_cannot_hold_is_refused(
    short: list[str], text_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("wan.memory.machine_bytes", lambda: 50_000)
    model = ["--prompt_extend_model", str(text_model), "--device", "cpu"]
    for command in (["generate", *short, "--use_prompt_extend", "--dry_run"], ["extend", "a fox"]):
        assert run_command(command[0], [*command[1:], *model]) == 2
        assert "has 0.0 GB of weights, and this machine has 0.0 GB with its swap" in capsys.readouterr().err


def test_a_model_on_this_machine_works_and_is_gone_before_the_denoiser_is_loaded(
    short: list[str], text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Qwen2ForCausalLM

    from wan.extension import local

    alive: list[bool] = []
    begin = Session.__init__

    def watched(self: Session, *args: Any, **kwargs: Any) -> None:
        import gc

        alive.append(any(type(one) is Qwen2ForCausalLM for one in gc.get_objects()))
        begin(self, *args, **kwargs)

    monkeypatch.setattr(Session, "__init__", watched)
    monkeypatch.setattr(local, "MAX_NEW_TOKENS", 40)
    flags = ["--use_prompt_extend", "--prompt_extend_model", str(text_model), "--prompt_extend_target_lang", "en"]
    assert run_command("generate", [*short, *flags, "--device", "cpu"]) == 0
    record = load_record(run_in(tmp_path))
    assert alive == [False]
    assert record["prompt_extension"]["method"] == "local_qwen" and record["prompt_extension"]["uploaded"] is None
    assert record["prompt"] == record["prompt_extension"]["extended"] != IDEA


def job_of(argv: list[str]) -> Job:
    return prepare(parse_request(argv))


def test_a_session_does_not_take_a_prompt_for_an_extended_one(service: StubService, short: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"nobody has extended it yet; hand the job to wan.extending.extended_job"):
        Session(job_of([*short, *SERVICE]))


def test_an_extension_is_made_once_for_a_job(service: StubService, short: list[str]) -> None:
    job = extended_job(job_of([*short, *SERVICE]), seed=1, say=print)
    assert extended_job(job, seed=1, say=print) is job and len(service.requests) == 1
    assert job.given_prompt == IDEA and job.prompt == PROMPT and job.asked and job.asked.extension.use_prompt_extend


def test_without_the_flag_nothing_is_done(short: list[str]) -> None:
    job = job_of(short)
    assert extended_job(job, seed=1, say=print) is job


def test_a_failure_is_an_error_of_this_package(service: StubService, short: list[str]) -> None:
    service.script = [good("no")]
    with pytest.raises(ExtensionFailed, match="it is too short"):
        extended_job(job_of([*short, *SERVICE]), seed=1, say=print)


@pytest.mark.parametrize("command", ["compare", "continuity", "tune"])
def test_instruments_measure_the_prompt_that_stands_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, ["--use_prompt_extend", "--dry_run"][: 1 if command == "continuity" else 2]) == 2
    assert "unrecognized arguments: --use_prompt_extend" in capsys.readouterr().err
