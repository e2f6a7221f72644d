"""`wan extend`: the extended prompt alone on standard output, or a record as JSON, and its refusals."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.extension.stub_service import KEY, PROMPT, StubService, answer, good, stub_service
from wan.cli.main import run

MODEL = ["--prompt_extend_method", "openai", "--prompt_extend_model", "a-model"]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    with stub_service() as stub:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        stub.script = [good()]
        yield stub


def test_the_extended_prompt_stands_alone_on_standard_output(
    service: StubService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("extend", ["a fox", *MODEL, "--prompt_extend_target_lang", "en"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{PROMPT}\n"
    assert "prompt extension sends the prompt (5 characters)" in said.err and "\nseed " in said.err
    assert KEY not in said.out + said.err


def test_json_has_both_prompts_and_how_they_came_about(
    service: StubService, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("extend", ["a fox", *MODEL, "--json", "--base_seed", "7"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["original"], record["extended"], record["seed"]) == ("a fox", PROMPT, 7)
    assert (record["method"], record["model"], record["language"]) == ("openai", "a-model", "zh")


def test_a_picture_makes_it_a_prompt_for_image_to_video(
    service: StubService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    assert run("extend", ["a fox", *MODEL, "--image", str(tmp_path / "red.png")]) == 0
    assert "and the picture (32*32 pixels" in capsys.readouterr().err
    assert service.requests[0][2]["messages"][1]["content"][0]["type"] == "image_url"


def test_a_dry_run_sends_nothing(service: StubService, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("extend", ["a fox", *MODEL, "--dry_run"]) == 0
    assert "prompt extension sends the prompt" in capsys.readouterr().out and service.requests == []


@pytest.mark.parametrize(
    ("argv", "sentence", "code"),
    [
        (["a fox", "--prompt_extend_method", "openai"], "needs --prompt_extend_model", 2),
        (["", *MODEL], "needs words to extend", 2),
        (["a fox", *MODEL, "--task", "i2v-A14B"], "give one with --image FILE", 2),
        (["a fox", *MODEL, "--task", "t2v-A14B", "--image", "a.png"], "starts from text alone", 2),
        (["a fox", *MODEL, "--base_seed", "-2"], "must be a whole number", 2),
        (["a fox", *MODEL], "refuses the key in OPENAI_API_KEY", 1),
        ([], "arguments are required: PROMPT", 2),
    ],
)
def test_refusals(
    service: StubService, argv: list[str], sentence: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    service.script = [answer(401)]
    assert run("extend", argv) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert sentence in error and KEY not in error
