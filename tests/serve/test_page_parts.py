"""The parts of the page that need no browser: words, addresses that are refused, files, curves, and its colours."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.test_page import contrast
from wan.analysis.comparison import CaseResult, Yardsticks, summarise, verdicts
from wan.analysis.measures import Cost
from wan.request import Request
from wan.serve.page.compared import rule_in
from wan.serve.page.curves import curve
from wan.serve.page.files import file_of
from wan.serve.page.gate import Gate
from wan.serve.page.settings import SINGLE, budget_choice
from wan.serve.page.words import LANGUAGES, Words, table
from wan.serve.request_fields import fields_of, request_from
from wan.shortcuts import Shortcuts

PAGE = Path(__file__).parents[2] / "wan" / "serve" / "page"
FIELD = re.compile(r"\{(\w+)\}")


def test_both_languages_say_everything_with_the_same_values() -> None:
    for key, (english, chinese) in table().items():
        assert chinese and (english or key.startswith("help_")), key
        if english:
            assert sorted(FIELD.findall(english)) == sorted(FIELD.findall(chinese)), key


def test_every_word_that_the_page_asks_for_is_there_and_none_is_left_over() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in PAGE.glob("*.py"))
    quoted = set(re.findall(r"""["']([a-z][a-z_]*)["']""", source))
    asked = set(re.findall(r"""words\(\s*["']([a-z_]+)["']""", source))
    assert asked - table().keys() == set()
    made = ("state_", "expert_", "shortcut_", "help_")
    assert {key for key in table() if key not in quoted and not key.startswith(made)} == set()


def test_every_shortcut_that_is_set_by_hand_has_its_words() -> None:
    names = {one.name for one in SINGLE}
    assert {key.removeprefix("shortcut_") for key in table() if key.startswith("shortcut_")} == names
    assert {key.removeprefix("help_") for key in table() if key.startswith("help_")} == names


@pytest.mark.parametrize(
    ("seconds", "said"), [(2.04, "2.0 s"), (59.6, "60 s"), (125, "2 min"), (7200, "2.0 h"), (None, "?")]
)
def test_durations_are_said_in_the_unit_that_suits_them(seconds: float | None, said: str) -> None:
    assert Words("en").seconds(seconds) == said


def test_every_rule_of_a_comparison_of_two_runs_has_its_chinese() -> None:
    cost = Cost(forwards=1, token_forwards=1, flops=1, inference_seconds=1, switch_seconds=0, decode_seconds=0)
    measures = {"psnr": 30.0, "ssim": 0.9, "motion_ratio": 1.0, "motion": 1.0, "baseline_motion": 1.0}
    result = CaseResult(
        prompt="", seed=0, measures=measures, psnrs=(), ssims=(), divergence=(), cost=cost, baseline_cost=cost
    )
    rules = [found.rule for found in verdicts(summarise([result]), Yardsticks())]
    assert len(rules) == 6
    for rule in rules:
        assert re.search("[\u4e00-\u9fff]|SSIM 大于|PSNR 大于", rule_in("zh", rule)), rule
        assert rule_in("en", rule) == rule


@pytest.mark.parametrize(
    "request_",
    [
        Request(task="t2v-demo", prompt="a red circle", seed=2**62, size=(64, 96), frame_num=13),
        Request(prompt="a", sample_guide_scale=(3.0, 4.0), sample_shift=5.0, negative_prompt="b", sample_steps=7),
        Request(prompt="a", shortcuts=Shortcuts(budget=0.5)),
        Request(prompt="a", shortcuts=Shortcuts(cache="mag", cache_threshold=0.1, cfg_truncate_steps=3)),
        Request(prompt="a", shortcuts=Shortcuts(frame_completion="repeat", frame_positions="spread")),
        Request(prompt="a", sample_solver="dpm++", shortcuts=Shortcuts(restart_at_switch=True)),
    ],
)
def test_a_request_comes_back_from_its_fields(request_: Request) -> None:
    assert request_from(json.loads(json.dumps(fields_of(request_)))) == request_


@pytest.mark.parametrize(
    ("shortcuts", "choice"),
    [
        (Shortcuts(), "plain"),
        (Shortcuts(budget=0.5), "0.5"),
        (Shortcuts(preset="balanced"), "0.7"),
        (Shortcuts(budget=1.0), "plain"),
        (Shortcuts(cfg_truncate_steps=5), "by hand"),
    ],
)
def test_the_choice_of_a_budget_for_the_shortcuts_of_a_run(shortcuts: Shortcuts, choice: str) -> None:
    assert budget_choice(shortcuts) == choice


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "out" / "run"
    run.mkdir(parents=True)
    (tmp_path / "out" / "comparisons" / "ab").mkdir(parents=True)
    for name in ("video.mp4", "run.json", "latents.safetensors", ".hidden.mp4"):
        (run / name).write_bytes(b"x")
    (tmp_path / "out" / "comparisons" / "ab" / "side_by_side.mp4").write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (run / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    return tmp_path / "out"


@pytest.mark.parametrize("path", ["run/video.mp4", "comparisons/ab/side_by_side.mp4"])
def test_what_the_page_shows_is_served(folder: Path, path: str) -> None:
    assert file_of(folder, path) == folder / path


@pytest.mark.parametrize(
    "path",
    [
        *("run/run.json", "run/latents.safetensors", "run/.hidden.mp4", "run/link.mp4", "run/none.mp4", "run", ""),
        *("../secret.mp4", "run/../../secret.mp4", "/etc/passwd", "run//video.mp4", "run/./video.mp4", "run/\0.mp4"),
    ],
)
def test_no_other_file_is_served(folder: Path, path: str) -> None:
    assert file_of(folder, path) is None


def through_the_gate(method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; behind the gate everything answers with a small page."""
    sent: list[Any] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        taken = await receive() if method == "POST" else {}
        page = b'<html lang="en">' + taken.get("body", b"")
        headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": f"/zh{path}", "root_path": "/zh"}
    asyncio.run(Gate(inside, language="zh")(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


@pytest.mark.parametrize("path", ["", "/", "/config", "/theme.css", "/assets/a-b.js", "/gradio_api/queue/data"])
def test_the_gate_lets_through_what_the_page_needs(path: str) -> None:
    status, headers, body = through_the_gate("GET", path)
    assert status == 200 and body == b'<html lang="zh">'
    assert headers["content-length"] == "16" and "default-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/gradio_api/file=https://example.org/a.png"), ("GET", "/gradio_api/proxy=https://example.org/")),
        *(("GET", "/monitoring"), ("GET", "/gradio_api/runs"), ("GET", "/assets/../config/x%"), ("GET", "/login")),
        *(("POST", "/gradio_api/run/predict"), ("POST", "/gradio_api/call/x"), ("POST", "/gradio_api/vibe-edit")),
        *(("PUT", "/"), ("DELETE", "/gradio_api/upload"), ("POST", "/login")),
    ],
)
def test_the_gate_refuses_what_gradio_has_besides(method: str, path: str) -> None:
    assert through_the_gate(method, path)[0] == 404


def test_an_event_goes_through_whole_and_one_that_names_an_address_does_not() -> None:
    event = json.dumps({"data": [{"path": "/tmp/a.png", "url": "http://host/a"}, "a prompt: https://x"]}).encode()
    status, _, body = through_the_gate("POST", "/gradio_api/queue/join", event)
    assert status == 200 and body.endswith(event)
    bad = json.dumps({"data": [[{"path": "https://example.org/a.png"}]]}).encode()
    assert through_the_gate("POST", "/gradio_api/queue/join", bad)[0] == 400
    assert through_the_gate("POST", "/gradio_api/queue/join", b"[" * 100_000)[0] == 400
    assert through_the_gate("POST", "/gradio_api/queue/join", b"x" * 1_000_001)[0] == 400


def test_a_curve_draws_every_value_and_says_its_range() -> None:
    drawn = curve("<title>", {"a": [1.0, 2.0, float("inf")], "b": [0.0, 1.0]}, axis="frame", limits=[35.0])
    first, second = re.findall(r'points="([^"]*)"', drawn)
    assert len(first.split()) == 3 and len(second.split()) == 2
    assert "&lt;title&gt;" in drawn and "a: 1 .. 80" in drawn
    assert curve("t", {"a": []}, axis="frame") == ""
    assert "<circle" in curve("t", {"a": [1.0]}, axis="frame")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_the_pages_own_colours_can_be_read(scheme: int) -> None:
    css = (PAGE / "page.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--wan-([a-z]+): (#[0-9a-f]{6})", css.split("{")[1 + scheme]))
    page = ("#ffffff", "#0b0f19")[scheme]  # Gradio's own backgrounds
    for paper in (page, colours["panel"]):
        for name in ("good", "bad", "quiet"):
            assert contrast(colours[name], paper) >= 4.5, (name, paper)
        for name in ("a", "b"):
            assert contrast(colours[name], paper) >= 3.0, (name, paper)


def test_there_are_two_languages() -> None:
    assert LANGUAGES == ("en", "zh")
