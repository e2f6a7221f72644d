"""What an extension needs is checked before anything is loaded or sent, and said; keys stand in no sentence."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from PIL import Image

from tests.extension.stub_service import KEY
from wan.errors import InvalidInput
from wan.extension import local_files
from wan.extension.services import DASHSCOPE_URL, OPENAI_URL, service_for
from wan.extension.task import ExtensionTask, extension_task
from wan.prompt_extension import Extension, PromptExtension, recorded_extension

PICTURE = Image.new("RGB", (64, 32), "red")


def task(environment: dict[str, str] | None = None, /, *, prompt: str = "a fox", **options: Any) -> ExtensionTask:
    where = {name: options.pop(name) for name in ("picture", "is_image_task", "needs_picture") if name in options}
    given = {f"prompt_extend_{name}": value for name, value in options.items()}
    asked = PromptExtension(use_prompt_extend=True, **given)
    return extension_task(asked, prompt=prompt, environment=environment or {}, **where)


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"prompt_extend_method": "openai"}, "--prompt_extend_method"),
        ({"prompt_extend_model": "a"}, "--prompt_extend_model"),
        ({"prompt_extend_target_lang": "en"}, "--prompt_extend_target_lang"),
        ({"prompt_extend_fallback": True}, "--prompt_extend_fallback"),
    ],
)
def test_a_companion_alone_is_refused(given: dict[str, Any], flag: str) -> None:
    with pytest.raises(InvalidInput, match=f"{flag} needs --use_prompt_extend; give it too, or leave {flag} out"):
        PromptExtension(**given)


def test_an_empty_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must be a name or a folder"):
        PromptExtension(use_prompt_extend=True, prompt_extend_model=" ")


def test_the_official_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "_cached", lambda name: None)  # whoever runs this may have them
    assert (PromptExtension().method, PromptExtension().language) == ("local_qwen", "zh")
    found = task(needs_picture=True)
    assert found.model == "Qwen/Qwen2.5-VL-7B-Instruct" and found.upload() is None
    assert task().model == "Qwen/Qwen2.5-7B-Instruct"
    assert "is not on this machine yet and is downloaded from Hugging Face" in task().lines()[1]


def test_dashscope_has_a_model_for_every_kind() -> None:
    environment = {"DASH_API_KEY": KEY}
    assert task(environment, method="dashscope").model == "qwen-plus"
    assert task(environment, method="dashscope", is_image_task=True).kind == "t2i"
    seeing = task(environment, method="dashscope", picture=PICTURE)
    assert (seeing.model, seeing.kind) == ("qwen-vl-max", "i2v")


def test_the_key_and_the_address_are_from_the_environment() -> None:
    assert service_for("dashscope", {"DASH_API_KEY": f" {KEY}\n"}).key == KEY
    assert service_for("dashscope", {"DASHSCOPE_API_KEY": KEY}).key_name == "DASHSCOPE_API_KEY"
    assert service_for("dashscope", {"DASH_API_KEY": KEY}).url == DASHSCOPE_URL
    # as the official code names it for the international service
    official = {"DASH_API_KEY": KEY, "DASH_API_URL": "https://dashscope-intl.aliyuncs.com/api/v1"}
    assert service_for("dashscope", official).url == "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    assert service_for("openai", {"OPENAI_API_KEY": KEY}).url == OPENAI_URL
    assert service_for("openai", {"OPENAI_BASE_URL": "http://10.0.0.5:8000/v1/"}).url == "http://10.0.0.5:8000/v1"


@pytest.mark.parametrize(
    ("method", "environment", "sentence"),
    [
        ("dashscope", {}, "needs a key in the environment variable DASH_API_KEY or DASHSCOPE_API_KEY"),
        ("dashscope", {"DASH_API_KEY": "  "}, "needs a key in the environment variable"),
        ("openai", {}, "needs a key in the environment variable OPENAI_API_KEY"),
        ("openai", {"OPENAI_API_KEY": f"{KEY}\n{KEY}"}, "OPENAI_API_KEY holds no key"),
        ("openai", {"OPENAI_API_KEY": f"Bearer {KEY}"}, "OPENAI_API_KEY holds no key"),
        ("openai", {"OPENAI_API_KEY": f"{KEY}ü"}, "OPENAI_API_KEY holds no key"),
        ("openai", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "api.openai.com"}, "OPENAI_BASE_URL is no address"),
        ("openai", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "file:///etc/passwd"}, "is no address"),
        ("openai", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://a:99999/v1"}, "is no address"),
        ("openai", {"OPENAI_BASE_URL": f"https://me:{KEY}@example.org/v1"}, "holds more than an address"),
        ("openai", {"OPENAI_BASE_URL": f"https://example.org/v1?key={KEY}"}, "holds more than an address"),
        ("openai", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://example.org/v1"}, "is not encrypted"),
        ("dashscope", {"DASH_API_KEY": KEY, "DASH_API_URL": "http://localhost.example.org/api/v1"}, "is not encrypted"),
    ],
)
def test_a_service_that_cannot_be_asked(method: str, environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        task(environment, method=method, model="a")
    assert KEY not in str(caught.value)


def test_a_service_of_ones_own_needs_the_name_of_its_model() -> None:
    with pytest.raises(InvalidInput, match="openai needs --prompt_extend_model, the name of a model"):
        task({"OPENAI_API_KEY": KEY}, method="openai")
    with pytest.raises(InvalidInput, match="is no name of a model; write it on one line"):
        task({"OPENAI_API_KEY": KEY}, method="openai", model="a\nb")


def test_the_key_is_in_no_representation() -> None:
    found = task({"DASH_API_KEY": KEY}, method="dashscope")
    assert found.service and found.service.key == KEY
    assert KEY not in repr(found) + str(found.service) + "".join(found.lines())


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidInput, match="needs words to extend, and --prompt is empty"):
        task(prompt=" \n")


def test_a_model_in_the_cache_is_used_if_it_is_whole(
    text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(text_model, tmp_path / "snapshot"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file: str(folder / file))
    found = task(model="someone/a-model").local
    assert found and (found.name, found.folder) == ("someone/a-model", folder)
    assert found.weight_bytes == (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").unlink()
    found = task(model="someone/a-model").local
    assert found and found.folder is None and found.weight_bytes == 0


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no model")
    for name in (str(tmp_path / "file"), str(tmp_path / "missing"), "no model", "../up", "a/b/c"):
        with pytest.raises(InvalidInput, match="is neither a folder here nor a name on Hugging Face"):
            task(model=name)
    with pytest.raises(InvalidInput, match=r"has no config.json"):
        task(model=str(tmp_path))


@pytest.fixture
def broken(text_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(text_model, tmp_path / "model"))


def test_a_model_that_cannot_chat_is_refused(broken: Path) -> None:
    (broken / "chat_template.jinja").unlink()
    with pytest.raises(InvalidInput, match="has no chat template: it continues texts and follows no instructions"):
        task(model=str(broken))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.safetensors", None, "cannot be used: it is missing"),
        ("model.safetensors", b"half", "only safetensors are read"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("tokenizer.json", None, "has no tokenizer.json"),
        ("config.json", b"{", "is not the JSON file that it should be"),
        ("config.json", json.dumps({"auto_map": {"AutoModel": "evil.py"}}).encode(), "auto_map"),
    ],
)
def test_a_broken_model_is_refused(broken: Path, name: str, content: bytes | None, sentence: str) -> None:
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        task(model=str(broken))


def test_a_model_that_cannot_see_is_refused_for_a_picture(text_model: Path, vision_model: Path) -> None:
    with pytest.raises(InvalidInput, match=r"reads text alone and cannot see --image.*give a vision model such as"):
        task(model=str(text_model), picture=PICTURE)
    assert task(model=str(vision_model), picture=PICTURE).kind == "i2v"
    assert task(model=str(vision_model)).kind == "t2v"
    assert task(model=str(text_model)).lines()[0].endswith("on this machine: nothing is sent")


def test_a_record_gives_the_extension_back() -> None:
    made = Extension(original="a", extended="b", method="openai", model="m", language="en", seed=3)
    assert recorded_extension({"prompt_extension": json.loads(json.dumps(made.record()))}) == made
    for spoiled in ({}, {"prompt_extension": None}, {"prompt_extension": made.record() | {"extended": 5}}):
        with pytest.raises(InvalidInput, match="does not hold its extended prompt"):
            recorded_extension(spoiled)
