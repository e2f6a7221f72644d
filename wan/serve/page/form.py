"""The form of a request: a component for every field, and both ways between what stands in it and a request."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from wan.configs import WAN_CONFIGS, TaskConfig
from wan.flags import as_text
from wan.request import Request
from wan.sampling.schedule import SOLVER_NAMES
from wan.serve.page.budgets import budgets_of
from wan.serve.page.context import Context
from wan.serve.page.settings import BY_HAND, PLAIN, SINGLE, budget_choice, spelled_out
from wan.serve.request_fields import shortcut_fields


@dataclass(frozen=True, slots=True)
class Form:
    """``components`` by the name of their field, in the order in which events hand them over."""

    components: Mapping[str, Any]

    def inputs(self) -> list[Any]:
        return list(self.components.values())

    def fields(self, values: Sequence[Any]) -> tuple[dict[str, Any], bytes | None]:
        """What stands in the form, as ``Desk.quote`` and ``Desk.submit`` take it, and the image. What is empty is the
        task's default."""
        given = dict(zip(self.components, values, strict=True))
        image, budget = given.pop("image"), given.pop("budget")
        by_hand = {one.name: given.pop(one.name) for one in SINGLE}
        found = {name: value for name, value in given.items() if value not in (None, "") and value is not False}
        if "sample_guide_scale" in found:
            found["sample_guide_scale"] = [_number(part) for part in str(found["sample_guide_scale"]).split()]
        if budget == BY_HAND:
            found["shortcuts"] = shortcut_fields(by_hand)
        elif budget not in (None, PLAIN):
            found["shortcuts"] = {"budget": float(budget)}
        return found, Path(image).read_bytes() if image else None

    def value(self, name: str, values: Sequence[Any]) -> Any:
        """What stands in one field."""
        return dict(zip(self.components, values, strict=True))[name]

    def updates(self, context: Context, request: Request, *, image: Path | None) -> list[Any]:
        """The form filled with a request, in the order of ``inputs``."""
        task = request.task or next(iter(context.models))
        request = spelled_out(request, context.desk.settings)
        shortcuts, config = request.shortcuts, WAN_CONFIGS[task]
        choice = budget_choice(shortcuts)
        values: dict[str, Any] = {
            "prompt": request.prompt or config.example_prompt,
            "negative_prompt": request.negative_prompt,
            "task": task,
            "image": str(image) if image else None,
            "size": f"{request.size[0]}*{request.size[1]}" if request.size else config.default_size,
            "frame_num": request.frame_num or config.frame_num,
            "sample_steps": request.sample_steps or config.sample_steps,
            "base_seed": str(request.seed),
            "sample_solver": request.sample_solver,
            "sample_shift": "" if request.sample_shift is None else as_text(request.sample_shift)[0],
            "sample_guide_scale": " ".join(
                text for scale in request.sample_guide_scale or () for text in as_text(scale)
            ),
            "use_prompt_extend": request.extension.use_prompt_extend and context.extends,
            "budget": choice,
            **{one.name: _shown(one, getattr(shortcuts, one.name)) for one in SINGLE},
        }
        others: dict[str, dict[str, Any]] = {
            "size": {"choices": list(config.supported_sizes)},
            "image": {"visible": config.image != "none"},
            "budget": {"choices": budget_choices(context, task, {}, chosen=choice)},
        }
        return [gr.update(value=values[name], **others.get(name, {})) for name in self.components]


def budget_choices(
    context: Context, task: str, prices: Mapping[float, str], *, chosen: str = PLAIN
) -> list[tuple[str, str]]:
    """The choices of a budget for a task, (label, value); ``prices``: what is known of each share. What is ``chosen``
    is one of them, also where it is no stored budget."""
    words = context.words
    choices = [(f"{words('plain_run')}{prices.get(1.0, '')}", PLAIN)]
    for budget in budgets_of(task, context.models.get(task)):
        known = budget.expected if context.is_calibrated else None
        error = words("error_unknown")
        if known is not None:
            error = words("expected_short", psnr=f"{known.psnr:.1f}", worst=f"{known.psnr_worst:.1f}")
        price = prices.get(budget.share, "")
        choices.append(
            (f"{words('share_of_plain', share=f'{budget.share:g}')}{price}{words('comma')}{error}", f"{budget.share:g}")
        )
    choices.append((words("by_hand"), BY_HAND))
    if chosen not in [value for _, value in choices]:
        choices.insert(-1, (words("share_of_plain", share=chosen), chosen))
    return choices


def shortcut_components(context: Context) -> dict[str, Any]:
    """A component for every single shortcut, as its flag describes it."""
    found: dict[str, Any] = {}
    for one in SINGLE:
        flag = one.metadata["flag"]
        label = context.words(f"shortcut_{one.name}")
        info = context.words(f"help_{one.name}") or _sentence(flag.help.replace("%(default)s", str(one.default)))
        look: dict[str, Any] = {"label": label, "info": info, "min_width": 230}
        if one.default is False:
            found[one.name] = gr.Checkbox(value=False, **look)
        elif flag.choices:
            choices = [(context.words("off"), "")] if one.default is None else []
            choices += [(name, name) for name in flag.choices]
            found[one.name] = gr.Dropdown(choices, value=_shown(one, one.default), **look)
        elif one.default is None:  # a text, because Gradio's numbers cannot be empty
            found[one.name] = gr.Textbox("", placeholder=context.words("default"), **look)
        else:
            found[one.name] = gr.Number(one.default, precision=0, **look)
    return found


def solver_choices() -> list[str]:
    return list(SOLVER_NAMES)


def first_config(context: Context) -> TaskConfig:
    """The task that the form begins with."""
    return WAN_CONFIGS[next(iter(context.models))]


def _shown(one: Field[Any], value: Any) -> Any:
    """A value as its component has it: text where it may be empty."""
    if value is None or one.default is not None:
        return "" if value is None else value
    return as_text(value)[0]


def _sentence(help: str) -> str:
    return help[0].upper() + help[1:]


def _number(text: str) -> Any:
    """A number, or the text itself, which the desk refuses with its sentence."""
    try:
        return float(text.rstrip(","))
    except ValueError:
        return text
