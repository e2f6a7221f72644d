"""The tab *Generate*: the form of a request, what it would cost as one types, and the button that makes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from wan.configs import WAN_CONFIGS
from wan.errors import WanError
from wan.serve.page import html
from wan.serve.page.context import WATCH, Context
from wan.serve.page.form import Form, budget_choices, first_config, shortcut_components, solver_choices
from wan.serve.page.panel import panel
from wan.serve.page.quoted import SLOTS, command_html, prices_of, quote_html, slot_of, unknown_words_note
from wan.serve.page.restoring import restored
from wan.serve.page.settings import BY_HAND, PLAIN, SINGLE
from wan.serve.page.shown import name_of

EXAMPLES = (
    "a red circle moving right on a blue background",
    "a yellow square bouncing on a purple background",
    "a green triangle spinning on a white background",
    "a cyan circle growing on a black background",
)
"""Prompts of the demo model's world."""
_SHAPE = ("task", "size", "frame_num", "sample_steps")


@dataclass(frozen=True, slots=True)
class GenerateTab:
    """The components that other tabs fill or that need wiring. ``said`` holds one sentence about a file that was
    dropped, ``told`` one about a request whose settings came from another tab."""

    form: Form
    slots: dict[str, Any]
    quote: Any
    command: Any
    button: Any
    drop: Any
    said: Any
    told: Any


def build(context: Context) -> GenerateTab:
    """Lay the tab out, two columns on a wide window."""
    words, slots = context.words, dict[str, Any]()
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            told = panel()
            components = _what(context, slots)
            button = gr.Button(words("make"), variant="primary", size="lg", elem_id="generate")
            components |= _model(context, slots) | _shape(context, slots) | _budget(context, slots)
        with gr.Column(scale=2, min_width=320):
            slots["other"] = panel()
            quote = panel(name="quote")
            command = panel()
            drop = gr.File(label=words("drop"), file_types=[".mp4", ".png"], height=160, elem_id="drop")
            said = panel()
    order = [
        *("prompt", "use_prompt_extend", "negative_prompt", "task", "image", "size", "frame_num"),
        *("sample_steps", "base_seed"),
        *("sample_solver", "sample_shift", "sample_guide_scale", "budget", *(one.name for one in SINGLE)),
    ]
    form = Form({name: components[name] for name in order})
    return GenerateTab(
        form=form, slots=slots, quote=quote, command=command, button=button, drop=drop, said=said, told=told
    )


def _what(context: Context, slots: dict[str, Any]) -> dict[str, Any]:
    words, config = context.words, first_config(context)
    found: dict[str, Any] = {
        "prompt": gr.Textbox(
            config.example_prompt,
            label=words("prompt"),
            info=words("make_key"),
            lines=3,
            max_lines=12,
            autofocus=True,
            elem_id="prompt",
        )
    }
    slots["prompt"] = panel(name="prompt-note")
    found["use_prompt_extend"] = gr.Checkbox(
        False, label=words("extend"), info=words("extend_info"), visible=context.extends
    )
    if config.bundled_checkpoint:
        gr.Examples([[one] for one in EXAMPLES], inputs=found["prompt"], label=words("examples"))
    found["image"] = gr.Image(
        type="filepath",
        image_mode=None,  # the file as it is; another mode would have it written anew
        sources=["upload", "clipboard"],
        label=words("image"),
        elem_id="image",
        visible=config.image != "none",
        height=220,
    )
    slots["image"] = panel()
    return found


def _model(context: Context, slots: dict[str, Any]) -> dict[str, Any]:
    models = [(_model_label(context, task), task) for task in context.models]
    found = gr.Dropdown(models, value=first_config(context).name, label=context.words("model"))
    slots["task"] = panel()
    return {"task": found}


def _shape(context: Context, slots: dict[str, Any]) -> dict[str, Any]:
    words, config = context.words, first_config(context)
    with gr.Row():
        found: dict[str, Any] = {
            "size": gr.Dropdown(
                list(config.supported_sizes),
                value=config.default_size,
                allow_custom_value=True,
                label=words("size"),
                min_width=120,
            ),
            "frame_num": gr.Number(config.frame_num, precision=0, label=words("frames"), min_width=90),
            "sample_steps": gr.Number(
                context.default("sample_steps", config), precision=0, label=words("steps"), min_width=90
            ),
            "base_seed": gr.Textbox("-1", label=words("seed"), info=None, min_width=120),
        }
    slots["shape"] = panel()
    return found


def _budget(context: Context, slots: dict[str, Any]) -> dict[str, Any]:
    words, config = context.words, first_config(context)
    found: dict[str, Any] = {
        "budget": gr.Radio(
            budget_choices(context, config.name, {}),
            value=PLAIN,
            label=words("budget"),
            info=words("budget_info"),
            elem_classes="wan-stack",
            elem_id="budget",
        )
    }
    slots["shortcuts"] = panel()
    with gr.Accordion(words("single_shortcuts"), open=False):
        panel(html.whole(html.paragraph(words("single_info"), "quiet")))
        with gr.Row():
            found |= shortcut_components(context)
    with gr.Accordion(words("more_settings"), open=False):
        found["negative_prompt"] = gr.Textbox("", label=words("negative_prompt"), lines=2, placeholder=words("default"))
        with gr.Row():
            solver = context.desk.settings.defaults.get("sample_solver", solver_choices()[0])
            found["sample_solver"] = gr.Dropdown(solver_choices(), value=solver, label=words("solver"))
            found["sample_shift"] = gr.Textbox("", label=words("shift"), placeholder=words("default"))
            found["sample_guide_scale"] = gr.Textbox(
                "", label=words("guidance"), info=words("guidance_info"), placeholder=words("default")
            )
        slots["sampling"] = panel()
    return found


def wire(context: Context, tab: GenerateTab, *, tabs: Any, watched: Any, starts: Sequence[Any]) -> None:
    """Quotes as one types, the button, and the files that are dropped. ``starts``: the events that show the tab.

    All that asks for a quote is one event, of which Gradio runs the last: an older quote never replaces a newer one.
    """
    inputs, slots = tab.form.inputs(), [tab.slots[name] for name in SLOTS]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "trigger_mode": "always_last"}

    def look(*values: Any) -> list[Any]:
        return _looked(context, tab.form, values)

    looked = [*slots, tab.quote, tab.command]
    gr.on([*starts, *(one.change for one in inputs)], look, inputs, looked, concurrency_limit=4, **quiet)

    def choose(*values: Any) -> Any:
        return _choices(context, tab.form, values)

    shape = [tab.form.components[name].change for name in _SHAPE]
    gr.on([*starts, *shape], choose, inputs, tab.form.components["budget"], concurrency_limit=2, **quiet)
    by_hand = [tab.form.components[one.name].input for one in SINGLE]
    gr.on(by_hand, lambda: BY_HAND, None, tab.form.components["budget"], **quiet)

    task, names = tab.form.components["task"], ("image", "size", "frame_num", "sample_steps", "budget")

    def defaults_of(chosen: str) -> list[Any]:
        return _defaults_of(context, chosen)

    task.input(defaults_of, task, [tab.form.components[name] for name in names], **quiet)

    def make(*values: Any) -> list[Any]:
        given, image = tab.form.fields(values)
        try:
            entry = context.desk.submit(given, image)
        except (WanError, OSError) as error:
            return [*_in_slots(error), *[gr.skip()] * 3]
        return [*[""] * len(SLOTS), "", gr.update(selected=WATCH), name_of(context.folder, entry.run_folder)]

    tab.button.click(make, inputs, [*slots, tab.told, tabs, watched], api_visibility="private", show_progress="minimal")

    def restore(path: str | None) -> list[Any]:
        return restored(context, tab.form, path)

    tab.drop.upload(
        restore, tab.drop, [*inputs, tab.said, tabs], api_visibility="private", show_progress="minimal"
    ).then(lambda: None, None, tab.drop, **quiet)


def _choices(context: Context, form: Form, values: Sequence[Any]) -> Any:
    given, _ = form.fields(values)
    chosen, task = str(form.value("budget", values) or PLAIN), str(given.get("task", ""))
    return gr.update(choices=budget_choices(context, task, prices_of(context, given), chosen=chosen))


def _looked(context: Context, form: Form, values: Sequence[Any]) -> list[str]:
    """What stands at each field (a refusal, or what a user should know of the prompt), the price and the command."""
    given, image = form.fields(values)
    try:
        quote = quote_html(context, context.desk.quote(given, image))
    except (WanError, OSError) as error:
        return [*_in_slots(error), html.whole(html.paragraph(context.words("no_quote"), "empty")), ""]
    unknown = unknown_words_note(context, str(given.get("task", "")), str(given.get("prompt", "")))
    return [*(unknown if name == "prompt" else "" for name in SLOTS), quote, command_html(context, given)]


def _in_slots(error: Exception) -> list[str]:
    slot = slot_of(error)
    return [html.fault(str(error)) if name == slot else "" for name in SLOTS]


def _defaults_of(context: Context, task: str) -> list[Any]:
    config = WAN_CONFIGS[task]
    return [
        gr.update(visible=config.image != "none", value=None),
        gr.update(choices=list(config.supported_sizes), value=config.default_size),
        config.frame_num,
        context.default("sample_steps", config),
        PLAIN,
    ]


def _model_label(context: Context, task: str) -> str:
    folder, weights = context.models[task], context.desk.settings.weights
    changed = [lora.path.stem for _, lora in weights.loras] + [weights.quantize] * (weights.quantize != "none")
    named = context.words("ships") if folder is None else folder.name
    return " + ".join([f"{task} ({named})", *changed])
