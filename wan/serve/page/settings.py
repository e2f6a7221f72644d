"""The settings of a run as the page gives them back: into its form, and into another request."""

from dataclasses import fields, replace
from pathlib import Path

from wan.configs import WAN_CONFIGS, parse_size
from wan.recorded_request import recorded_request
from wan.request import Request
from wan.runs import RECORD_NAME
from wan.serve.page.shown import Shown
from wan.serve.request_fields import request_from
from wan.serve.settings import DeskSettings
from wan.shortcuts import Shortcuts, is_budget

PLAIN, BY_HAND = "plain", "by hand"
"""What the choice of a budget holds beside shares."""
_CHOOSING = ("budget", "preset", "plan")
SINGLE = tuple(one for one in fields(Shortcuts) if one.name not in _CHOOSING)
"""The fields of ``Shortcuts`` that are set by hand."""


def request_of(run: Shown) -> tuple[Request, Path | None]:
    """The request that made a run, and its image, where the service has kept it; ``InvalidInput`` for a run whose
    settings cannot be read."""
    if run.entry is not None and run.entry.settings:
        return request_from({**run.entry.settings, "weights": run.entry.weights}), run.entry.image
    return recorded_request(run.folder / RECORD_NAME).request, None


def spelled_out(request: Request, settings: DeskSettings) -> Request:
    """The same request; what it leaves to its task is named, where the service has a default of its own for that."""
    config = WAN_CONFIGS[request.task or next(iter(settings.models))]
    size = request.size or parse_size(config.default_size)
    scale = config.sample_guide_scale
    own = {
        "sample_steps": config.sample_steps,
        "sample_shift": config.shift_for(f"{size[0]}*{size[1]}"),
        "sample_guide_scale": scale if isinstance(scale, tuple) else (scale,),
    }
    left = [name for name in own if name in settings.defaults and getattr(request, name) is None]
    return replace(request, **{name: own[name] for name in left})  # type: ignore[arg-type]


def budget_choice(shortcuts: Shortcuts) -> str:
    """What stands in the choice of a budget for some shortcuts."""
    if not is_budget(shortcuts):
        return PLAIN if shortcuts == Shortcuts() else BY_HAND
    share = shortcuts.asked_budget
    return PLAIN if share in (None, 1.0) else f"{share:g}"
