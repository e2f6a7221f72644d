"""The settings of a request: the fields that the desk takes, a ``Request``, and what stands in the form of the page."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from wan.batch.lines import LineReader, line_parser
from wan.half_frame import HALF_FRAME
from wan.request import Request
from wan.shortcuts import Shortcuts, is_budget, shortcut_values

PLAIN, BY_HAND = "plain", "by hand"
"""What the choice of a budget holds beside shares."""
_CHOOSING = ("budget", "preset", "plan")
SINGLE = tuple(one for one in fields(Shortcuts) if one.name not in _CHOOSING)
"""The fields of ``Shortcuts`` that are set by hand."""


def request_from(settings: Mapping[str, Any]) -> Request:
    """The request of an entry's settings; ``InvalidInput`` for what no request has."""
    return LineReader(Path(), line_parser().parse_args([])).request(settings)


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a request as ``Desk.submit`` takes them, without those that have their default."""
    nothing = Request()
    found: dict[str, Any] = {"base_seed": request.seed}
    for name in ("task", "prompt", "negative_prompt", "frame_num", "sample_solver", "sample_steps", "sample_shift"):
        if getattr(request, name) != getattr(nothing, name):
            found[name] = getattr(request, name)
    if request.size:
        found["size"] = f"{request.size[0]}*{request.size[1]}"
    if request.sample_guide_scale:
        found["sample_guide_scale"] = list(request.sample_guide_scale)
    return found | {"shortcuts": shortcut_fields(shortcut_values(request.shortcuts))}


def shortcut_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The shortcuts that are not at their default, with the switch that half-frame generation has beside its own."""
    defaults = shortcut_values(Shortcuts())
    found = {name: value for name, value in values.items() if value not in (None, "", defaults[name])}
    return found | ({HALF_FRAME: True} if "frame_completion" in found else {})


def budget_choice(shortcuts: Shortcuts) -> str:
    """What stands in the choice of a budget for some shortcuts."""
    if not is_budget(shortcuts):
        return PLAIN if shortcuts == Shortcuts() else BY_HAND
    share = shortcuts.asked_budget
    return PLAIN if share in (None, 1.0) else f"{share:g}"
