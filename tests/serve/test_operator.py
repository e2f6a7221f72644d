"""What the operator of a service decides for all requests: LoRA and weights, defaults of sampling, prompt extension."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extension.stub_service import KEY, PROMPT, StubService, good, stub_service
from tests.serve.service import RED, Service, running, settings, stub_desk, until
from wan.cli.main import run
from wan.cli.serve import build_parser, settings_of
from wan.prompt_extension import PromptExtension
from wan.recorded_request import recorded_request
from wan.request import Request
from wan.runs import RECORD_NAME, load_record
from wan.serve.desk import Desk
from wan.serve.page.settings import spelled_out
from wan.serve.request_fields import has_other_weights
from wan.serve.views import RequestRefused
from wan.weight_options import DEMO_LORA, Lora, WeightOptions, bundled

LORA = WeightOptions(lora=(Lora(bundled(Path(DEMO_LORA))),))
FEW_STEPS = {"sample_solver": "euler", "sample_steps": 4, "sample_guide_scale": ["1.0"]}
EXTENSION = PromptExtension(use_prompt_extend=True, prompt_extend_method="openai", prompt_extend_model="a-model")


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubService]:
    """A language model that answers."""
    with stub_service() as stub:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        stub.script = [good()]
        yield stub


def test_the_flags_of_the_command_are_the_operators_decisions(tmp_path: Path) -> None:
    argv = ["--output_dir", str(tmp_path), "--lora", f"{DEMO_LORA}:0.5", "--sample_solver", "euler"]
    argv += [
        "--sample_steps",
        "4",
        "--sample_guide_scale",
        "1",
        "--use_prompt_extend",
        "--prompt_extend_method",
        "openai",
    ]
    found = settings_of(build_parser().parse_args(argv))
    assert found.defaults == FEW_STEPS
    assert found.weights.lora == (Lora(bundled(Path(DEMO_LORA)), 0.5),)
    assert found.extension is not None and found.extension.method == "openai"
    plain = settings_of(build_parser().parse_args(["--output_dir", str(tmp_path)]))
    assert (dict(plain.defaults), plain.weights, plain.extension) == ({}, WeightOptions(), None)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--lora", "/nowhere.safetensors"], "/nowhere.safetensors"),
        (["--denoiser_low", "/nowhere.gguf"], "/nowhere.gguf"),
        (["--sample_steps", "0"], "--sample_steps 0"),
        (["--sample_guide_scale", "1", "2", "3"], "one value, or two"),
        (["--prompt_extend_model", "a-model"], "needs --use_prompt_extend"),
        (["--use_prompt_extend", "--prompt_extend_method", "openai"], "OPENAI_API_KEY"),
    ],
)
def test_decisions_that_no_request_could_be_made_with_are_refused_at_the_start(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    words: str,
) -> None:
    monkeypatch.setattr("wan.cli.serve.refuse_without_extra", lambda *, has_page: None)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert run("serve", ["--no_page", "--output_dir", str(tmp_path / "out"), "--port", "0", *flags]) == 2
    assert words in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_defaults_stand_in_for_what_is_left_out_and_for_no_more(tmp_path: Path) -> None:
    with stub_desk(tmp_path, is_open=False, defaults=FEW_STEPS) as (desk, _):
        assert desk.quote({}).steps == 4
        left, given = (
            desk.submit({"prompt": RED}),
            desk.submit({"prompt": RED, "sample_steps": 6, "sample_shift": None}),
        )
        assert (left.steps, given.steps) == (4, 6)
        assert left.settings["sample_solver"] == given.settings["sample_solver"] == "euler"
    with stub_desk(tmp_path, is_open=False) as (desk, _):  # started again without them: what was asked for stays
        again = desk.submit(desk.entry(left.id).settings)
        assert again.steps == 4 and again.settings["sample_guide_scale"] == ["1.0"]


def test_the_cost_of_a_request_is_measured_by_the_services_own_defaults(tmp_path: Path) -> None:
    with (
        stub_desk(tmp_path, defaults=FEW_STEPS, max_cost=1.0) as (desk, _),
        pytest.raises(RequestRefused, match=r"1\.5 times the video"),
    ):
        desk.quote({"sample_steps": 6})


def test_every_request_has_the_operators_weights(tmp_path: Path) -> None:
    with stub_desk(tmp_path, is_open=False, weights=LORA) as (desk, _):
        entry = desk.submit({"prompt": RED})
        assert "with one it is another model" in " ".join(desk.quote({"budget": 0.5}).notices)
    (line,) = (tmp_path / "queue").glob("*.jsonl")
    assert DEMO_LORA in line.read_text() and entry.weights == {"lora": [str(bundled(Path(DEMO_LORA)))]}
    with stub_desk(tmp_path, is_open=False, weights=LORA) as (desk, _):
        assert desk.entry(entry.id).weights == entry.weights  # read from disk


def test_no_client_is_told_where_the_operators_files_lie(tmp_path: Path) -> None:
    own = shutil.copytree(bundled(Path(DEMO_LORA)), tmp_path / "private")
    with running(tmp_path / "out", is_open=False, weights=WeightOptions(lora=(Lora(own),))) as service:
        assert service.post({"prompt": RED})[0] == 200
        shutil.rmtree(own)
        status, answer = service.post({"prompt": RED})
    assert status == 500 and "private" not in str(answer) and "log says why" in answer["error"]["message"]


@pytest.mark.parametrize(("weights", "is_other"), [(LORA, False), (WeightOptions(), True)])
def test_a_request_with_the_services_weights_can_be_asked_for_again(
    tmp_path: Path, weights: WeightOptions, is_other: bool
) -> None:
    own = settings(tmp_path, weights=weights)
    assert has_other_weights(Request(weights=LORA), own) is is_other
    assert has_other_weights(Request(), own) is not is_other


def test_what_a_run_left_to_its_task_is_named_where_the_service_has_another_default(tmp_path: Path) -> None:
    own = settings(tmp_path, defaults=FEW_STEPS)
    asked = Request(task="t2v-demo", prompt=RED)
    found = spelled_out(asked, own)
    assert (found.sample_steps, found.sample_guide_scale, found.sample_shift) == (20, (3.0, 4.0), None)
    assert spelled_out(asked, settings(tmp_path)) == asked


def test_a_client_may_have_its_prompt_written_out_where_that_is_offered(writer: StubService, tmp_path: Path) -> None:
    with running(tmp_path, is_open=False, extension=EXTENSION) as service:
        status, video = service.post({"prompt": RED, "use_prompt_extend": True})
        assert status == 200 and video["prompt"] == RED
        assert service.post({"prompt": RED})[0] == 200
        form = service.client().videos.create(prompt=RED, extra_body={"use_prompt_extend": True})
        assert _flags(service, video["id"]) == _flags(service, form.id)
        assert "--use_prompt_extend" in _flags(service, video["id"])
        others = [one for one in service.desk.entries() if one.id not in (video["id"], form.id)]
        assert [_flags(service, one.id) for one in others] == [[]]
    assert writer.requests == []  # the worker asks, when its turn comes


def _flags(service: Service, id: str) -> list[str]:
    """The flags of prompt extension of a request in the queue."""
    folder = service.desk.entry(id).run_folder
    entry = next(one.entry for one in service.desk._queue.statuses() if one.entry.folder == folder.name)
    return [flag for flag in entry.argv if "prompt_extend" in flag]


def test_extension_that_is_not_offered_is_refused(tmp_path: Path) -> None:
    desk = Desk(settings(tmp_path))
    with pytest.raises(RequestRefused, match="not offered by this service") as refused:
        desk.submit({"prompt": RED, "use_prompt_extend": True})
    assert refused.value.field == "use_prompt_extend"
    with pytest.raises(RequestRefused, match="for the operator"):
        desk.submit({"prompt": RED, "prompt_extend_model": "another"})
    desk.stop()


def test_a_worker_uses_the_lora_the_defaults_and_the_language_model(writer: StubService, tmp_path: Path) -> None:
    own = settings(tmp_path, weights=LORA, defaults=FEW_STEPS, extension=EXTENSION)
    with Desk(own) as desk:
        entry = desk.submit({"prompt": RED, "frame_num": 5, "use_prompt_extend": True})
        until(lambda: desk.entry(entry.id).is_over, seconds=120)
        assert desk.entry(entry.id).error == ""
    record = load_record(entry.run_folder)
    assert (record["prompt"], record["prompt_extension"]["original"]) == (PROMPT, RED)
    assert len(record["settings"]["loras"]) == 2 and record["settings"]["steps"] == 4
    request = recorded_request(entry.run_folder / RECORD_NAME).request
    assert request.weights == own.weights and request.sample_solver == "euler"
    assert len(writer.requests) == 1
