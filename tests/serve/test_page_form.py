"""The form of the page without a browser: what stands in it as fields of a request, and settings back into it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="needs Gradio: make serving")

import gradio as gr

from wan.errors import InvalidInput
from wan.request import Request
from wan.serve.desk import Desk, DeskSettings
from wan.serve.page import generate_tab
from wan.serve.page.comparisons import Comparisons
from wan.serve.page.context import Context
from wan.serve.page.form import Form
from wan.serve.page.quoted import SLOTS, prices_of, slot_of, unknown_words_note
from wan.serve.page.restoring import restored, reused
from wan.serve.page.shown import of_entry
from wan.serve.page.words import Words
from wan.serve.request_fields import request_from
from wan.serve.views import RequestRefused
from wan.shortcuts import Shortcuts


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("outputs")
    desk = Desk(DeskSettings(folder=folder, models={"t2v-demo": None}))
    yield Context(
        desk=desk, words=Words("en"), folder=folder, models=desk.models(), comparisons=Comparisons(folder=folder)
    )


@pytest.fixture(scope="module")
def form(context: Context) -> Form:
    with gr.Blocks(analytics_enabled=False):
        return generate_tab.build(context).form


def standing(form: Form, **changes: Any) -> list[Any]:
    """The values of the form as it begins, with changes."""
    values = {name: component.value for name, component in form.components.items()}
    assert changes.keys() <= values.keys()
    return list((values | changes).values())


def test_the_form_begins_with_a_video_that_can_be_made(context: Context, form: Form) -> None:
    fields, image = form.fields(standing(form))
    quote = context.desk.quote(fields, image)
    assert (quote.task, quote.share, quote.frame_num, quote.steps) == ("t2v-demo", 1.0, 49, 20)
    assert fields["prompt"] == "a red circle moving right on a blue background"


def test_a_budget_leaves_the_single_shortcuts_out_and_by_hand_takes_them(form: Form) -> None:
    single = {"cfg_truncate_steps": 3, "frame_completion": "interpolate", "frame_positions": "spread"}
    assert form.fields(standing(form, **single))[0].get("shortcuts") is None
    assert form.fields(standing(form, budget="0.5", **single))[0]["shortcuts"] == {"budget": 0.5}
    fields = form.fields(standing(form, budget="by hand", **single))[0]
    assert request_from(fields).shortcuts == Shortcuts(**single)


def test_scales_are_numbers_and_what_is_none_stays_for_the_desk_to_refuse(form: Form) -> None:
    assert form.fields(standing(form, sample_guide_scale="3, 4.5"))[0]["sample_guide_scale"] == [3.0, 4.5]
    assert form.fields(standing(form, sample_guide_scale="much"))[0]["sample_guide_scale"] == ["much"]


@pytest.mark.parametrize(
    "request_",
    [
        Request(task="t2v-demo", prompt="a blue square", seed=2**62, frame_num=13, sample_steps=8, size=(64, 96)),
        Request(task="t2v-demo", prompt="a", negative_prompt="b", sample_guide_scale=(3.0, 4.0), sample_shift=5.0),
        Request(task="t2v-demo", prompt="a", shortcuts=Shortcuts(budget=0.42)),
        Request(task="t2v-demo", prompt="a", shortcuts=Shortcuts(cache="sea", cache_order=0)),
    ],
)
def test_a_request_comes_back_out_of_the_form(context: Context, form: Form, request_: Request) -> None:
    updates = form.updates(context, request_, image=None)
    again = request_from(form.fields([update["value"] for update in updates])[0])
    defaults = {"size": (64, 64), "frame_num": 49, "sample_steps": 20}
    wanted = {name: getattr(request_, name) or defaults.get(name) for name in Request.__dataclass_fields__}
    assert {name: getattr(again, name) or None for name in wanted} == {name: v or None for name, v in wanted.items()}
    choice = updates[list(form.components).index("budget")]
    assert choice["value"] in [value for _, value in choice["choices"]]


def test_a_dropped_file_names_no_file_that_is_read(context: Context, form: Form, tmp_path: Path) -> None:
    command = "wan generate --task t2v-demo --prompt x --image /etc/passwd --plan /etc/hosts --budget 0.5"
    command += " --lora /etc/shadow"
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"command": command}), encoding="utf-8")
    *updates, said, _ = restored(context, form, str(path))
    filled = dict(zip(form.components, updates, strict=True))
    assert filled["image"]["value"] is None and filled["budget"]["value"] == "0.5"
    assert "choose it again" in said and "plan file" in said and "LoRA" in said and "/etc" not in str(updates)


def test_a_dropped_file_of_another_model_is_refused(context: Context, form: Form, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"command": "wan generate --task t2v-A14B --prompt x"}), encoding="utf-8")
    *updates, said, _ = restored(context, form, str(path))
    assert "made with t2v-A14B, and this service has t2v-demo" in said
    assert all(update == gr.skip() for update in updates)


def test_every_budget_has_its_price(context: Context) -> None:
    prices = prices_of(context, {"task": "t2v-demo", "prompt": "x", "shortcuts": {"budget": 0.5}})
    assert prices[1.0] == ", 40 forwards" and prices[0.5] == ", 20 forwards" and len(prices) == 7


@pytest.mark.parametrize(("prompt", "is_said"), [("a red circle", False), ("a red elephant", True), ("A Red", False)])
def test_words_that_the_demo_model_does_not_know_are_said(context: Context, prompt: str, is_said: bool) -> None:
    from transformers import AutoTokenizer

    from wan.configs import WAN_CONFIGS
    from wan.loading.layouts import find_checkpoint_dir
    from wan.models.text import unknown_words

    folder = find_checkpoint_dir(WAN_CONFIGS["t2v-demo"], None)
    assert bool(unknown_words(AutoTokenizer.from_pretrained(folder / "tokenizer"), prompt)) == is_said
    assert bool(unknown_words_note(context, "t2v-demo", prompt)) == is_said


@pytest.mark.parametrize(
    ("field", "slot"),
    [("prompt", "prompt"), ("frame_num", "shape"), ("cache", "shortcuts"), ("budget", "shortcuts"), (None, "other")],
)
def test_a_refusal_stands_at_its_field(field: str | None, slot: str) -> None:
    assert slot_of(RequestRefused("a sentence", field=field)) == slot and slot in SLOTS


def test_a_request_of_a_batch_is_read_from_its_record_or_refused(context: Context, form: Form) -> None:
    """What ``wan batch`` put into the queue has no fields that the form could show."""
    entry = context.desk.submit({"prompt": "a blue square", "base_seed": 5})
    run = of_entry(context.folder, replace(entry, settings={}))
    with pytest.raises(InvalidInput, match=r"run\.json"):
        reused(context, form, run, said="")
    command = "wan generate --task t2v-demo --prompt 'a blue square' --base_seed 5"
    (entry.run_folder / "run.json").write_text(json.dumps({"command": command}), encoding="utf-8")
    *updates, said, _ = reused(context, form, run, said="They are in the form.")
    filled = dict(zip(form.components, updates, strict=True))
    assert (filled["prompt"]["value"], filled["base_seed"]["value"]) == ("a blue square", "5")
    assert "They are in the form." in said
