"""A service on loopback that does everything wrong: each time one sentence, in time, and never the key."""

import base64
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from tests.extension.stub_service import KEY, PROMPT, StubService, answer, completion, dripping, good, raw, silent
from wan.errors import ExtensionFailed
from wan.extension.extend import extend
from wan.extension.instructions import instructions
from wan.extension.task import ExtensionTask, extension_task
from wan.extension.transport import MAX_ANSWER, Patience
from wan.prompt_extension import Extension, PromptExtension

QUICK = Patience(total=3.0, attempt=0.4, attempts=3, first_wait=0.02, longest_wait=0.1)
IDEA = "a fox in the snow"


def task_for(url: str, *, key: str | None = KEY, picture: Image.Image | None = None, lang: str = "en") -> ExtensionTask:
    options = PromptExtension(
        use_prompt_extend=True,
        prompt_extend_method="openai",
        prompt_extend_model="a-model",
        prompt_extend_target_lang=lang,
    )
    environment = {"OPENAI_BASE_URL": url} | ({"OPENAI_API_KEY": key} if key else {})
    return extension_task(options, prompt=IDEA, picture=picture, environment=environment)


def ask(stub: StubService, *script: Any, said: list[str] | None = None, **how: Any) -> Extension:
    stub.script = list(script)
    lines: list[str] = [] if said is None else said
    how = {"patience": QUICK, "seed": 5} | how
    made = extend(task_for(stub.url), say=lines.append, **how)
    assert KEY not in repr((made, lines))
    return made


def refusal(stub: StubService, *script: Any, said: list[str] | None = None, **how: Any) -> str:
    with pytest.raises(ExtensionFailed) as caught:
        ask(stub, *script, said=said, **how)
    sentence = str(caught.value)
    assert KEY not in sentence and "\n" not in sentence and "sk-" not in sentence
    return sentence


def test_what_is_sent_and_what_comes_back(stub: StubService) -> None:
    made = ask(stub, good(f'Here is the prompt:\n"{PROMPT}"'))
    assert (made.original, made.extended, made.failure) == (IDEA, PROMPT, None)
    ((path, headers, body),) = stub.requests
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert set(body) == {"model", "messages", "seed"} and (body["model"], body["seed"]) == ("a-model", 5)
    system, user = body["messages"]
    assert system == {"role": "system", "content": instructions("t2v", "en")}
    assert IDEA in user["content"]


def test_without_a_key_none_is_sent(stub: StubService) -> None:
    stub.script = [good()]
    extend(task_for(stub.url, key=None), seed=5, say=print, patience=QUICK)
    assert "Authorization" not in stub.requests[0][1]


def test_the_picture_is_sent_small_and_without_its_notes(stub: StubService) -> None:
    stub.script = [good()]
    picture = Image.new("RGB", (3000, 1500), "red")
    picture.info["comment"] = b"at home"
    task = task_for(stub.url, picture=picture)
    extend(task, seed=1, say=print, patience=QUICK)
    shown, text = stub.requests[0][2]["messages"][1]["content"]
    data = base64.b64decode(shown["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(BytesIO(data)).size == (1024, 512) and b"at home" not in data
    assert text["type"] == "text" and stub.requests[0][2]["messages"][0]["content"] == instructions("i2v", "en")


def test_what_is_uploaded_is_said_before_it_is_sent(stub: StubService) -> None:
    said: list[str] = []
    picture = Image.new("RGB", (64, 32), "red")
    task = task_for(stub.url, picture=picture)
    with pytest.raises(ExtensionFailed):  # nobody is there any more
        stub.script = [raw(b"")]
        extend(task, seed=1, say=said.append, patience=QUICK)
    host = stub.url.removeprefix("http://").removesuffix("/v1")
    expected = (
        f"prompt extension sends the prompt ({len(IDEA)} characters) and the picture (64*32 pixels, JPEG, 1 kB) to"
    )
    assert said[1].startswith(f"{expected} {host}, without encryption")
    assert task.upload() == said[1]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
def test_what_may_pass_is_asked_again(stub: StubService, status: int) -> None:
    said: list[str] = []
    assert ask(stub, answer(status), answer(status), good(), said=said).extended == PROMPT
    assert len(stub.requests) == 3 and f"answers HTTP {status}; attempt 2 of 3 in" in said[2]


def test_it_is_not_asked_for_ever(stub: StubService) -> None:
    assert "answers HTTP 500 (out of order), 3 times; try again later" in refusal(
        stub, answer(500, b'{"error": {"message": "out of order"}}')
    )
    assert len(stub.requests) == 3


def test_the_waits_grow_and_differ() -> None:
    from wan.extension.transport import _wait

    patience = Patience()
    drawn = [[_wait(patience, attempt, asked=None) for _ in range(50)] for attempt in range(1, 9)]
    for attempt, waits in enumerate(drawn):
        ceiling = min(30.0, 2.0**attempt)
        assert all(ceiling / 2 <= wait <= ceiling for wait in waits) and len(set(waits)) > 40
    assert _wait(patience, 1, asked=17.0) == 17.0


def test_retry_after_is_honoured(stub: StubService) -> None:
    ask(stub, answer(429, Retry_After="1"), good())
    assert stub.times[1] - stub.times[0] >= 1.0


def test_retry_after_as_a_date() -> None:
    from wan.extension.transport import _seconds

    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 55 <= (_seconds(later) or 0) <= 60
    assert _seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert [_seconds(text) for text in (None, "", "soon", "-5", "9" * 50)] == [None] * 5


def test_a_wait_beyond_the_total_time_is_not_begun(stub: StubService) -> None:
    begin = time.monotonic()
    sentence = refusal(stub, answer(429, Retry_After="3600"))
    assert "another attempt in 3600 s would be after the 3 s" in sentence and time.monotonic() - begin < 2
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "script",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    ],
    ids=["silent", "headers", "chunks", "body", "without length"],
)
def test_an_answer_that_never_ends_is_cut_off(stub: StubService, script: Any) -> None:
    begin = time.monotonic()
    short = Patience(total=1.0, attempt=0.3, attempts=2, first_wait=0.02, longest_wait=0.02)
    sentence = refusal(stub, script, patience=short)
    assert "has not answered within" in sentence or "lines" in sentence or "headers" in sentence
    assert time.monotonic() - begin < 4


@pytest.mark.parametrize("data", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"])
def test_a_broken_connection_is_tried_again(stub: StubService, data: bytes) -> None:
    assert ask(stub, raw(data), good()).extended == PROMPT


def test_nobody_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ExtensionFailed, match=r"cannot be reached .*, 3 times; try again later"):
        extend(task_for(url), seed=1, say=print, patience=QUICK)


def test_a_redirect_is_not_followed(stub: StubService) -> None:
    sentence = refusal(stub, answer(307, Location="https://elsewhere.example/v1/chat"))
    assert "sends on to elsewhere.example (HTTP 307), which is not followed" in sentence
    assert len(stub.requests) == 1


def test_no_proxy_is_asked(stub: StubService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(stub, good()).extended == PROMPT


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_not_repeated(stub: StubService, status: int) -> None:
    body = f'{{"error": {{"message": "bad key {KEY} or {KEY[:12]}"}}}}'.encode()
    assert f"refuses the key in OPENAI_API_KEY (HTTP {status}); check it" in refusal(stub, answer(status, body))
    assert len(stub.requests) == 1


def test_a_service_that_repeats_the_key_is_not_quoted_with_it(stub: StubService) -> None:
    body = f'{{"message": "no model for {KEY}\\u001b[2J"}}'.encode()
    sentence = refusal(stub, answer(404, body))
    assert "refuses the request: HTTP 404 (no model for (the key)\\u001b[2J)" in sentence


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "is no JSON: it is empty"),
        (b"<html>", "is no JSON"),
        (b'{"choices": [NaN]}', "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no chat completion"),
        (b"{}", "is no chat completion"),
        (b'{"choices": []}', "is no chat completion"),
        (b'{"choices": [{"message": null}]}', "is no chat completion"),
        (completion(None), "is no chat completion"),
        (completion(5), "is no chat completion"),
        (completion(None, finish_reason="content_filter"), "its content filter"),
        (completion("A red fox runs thr", finish_reason="length"), "is cut off"),
        (completion("I cannot help with that request."), "the model declines"),
        (completion(""), "answer is empty"),
        (b" " * (MAX_ANSWER + 1), "is longer than 1 MiB"),
        (completion("fox " * 2_000), "has 7,999 characters"),
    ],
)
def test_an_answer_that_is_no_prompt(stub: StubService, body: bytes, sentence: str) -> None:
    assert sentence in refusal(stub, answer(200, body))


def test_an_answer_in_parts(stub: StubService) -> None:
    parts = [{"type": "text", "text": PROMPT[:20]}, {"type": "text", "text": PROMPT[20:]}]
    assert ask(stub, good(parts)).extended == PROMPT


def test_the_original_is_used_only_where_that_is_asked(stub: StubService) -> None:
    said: list[str] = []
    made = ask(stub, answer(400, b'{"error": {"message": "no"}}'), said=said, fall_back=True)
    assert made.extended == made.original == IDEA and "HTTP 400 (no)" in (made.failure or "")
    assert said[-1].startswith("the prompt could not be extended and is used as it is: ")


def test_a_huge_seed_is_one_that_services_take(stub: StubService) -> None:
    ask(stub, good(), seed=2**63 - 1)
    assert stub.requests[0][2]["seed"] == 2**31 - 1
