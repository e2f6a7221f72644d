"""A request as the fields that the desk takes, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan.batch.lines import LineReader, line_parser
from wan.half_frame import HALF_FRAME
from wan.request import Request
from wan.serve.settings import DeskSettings
from wan.shortcuts import Shortcuts, shortcut_values


def request_from(settings: Mapping[str, Any]) -> Request:
    """The request of an entry's settings; ``InvalidInput`` for what no request has."""
    return LineReader(Path(), line_parser().parse_args([])).request(settings)


def has_other_weights(request: Request, settings: DeskSettings) -> bool:
    """Whether a request computes with other weights than the service's, which no client of it can ask for."""
    return request.weights.lasting() != settings.weights


def fields_of(request: Request) -> dict[str, Any]:
    """The fields of a request as ``Desk.submit`` takes them, without those that have their default."""
    nothing = Request()
    found: dict[str, Any] = {"base_seed": request.seed, "sample_solver": request.sample_solver}
    if request.extension.use_prompt_extend:
        found["use_prompt_extend"] = True
    for name in ("task", "prompt", "negative_prompt", "frame_num", "sample_steps", "sample_shift"):
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
