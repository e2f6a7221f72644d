"""The other run of a comparison: the plain one of an accelerated run, or an accelerated one of a plain run."""

from collections.abc import Iterable, Mapping
from typing import Any

from wan.recorded_request import recorded_request
from wan.runs import RECORD_NAME
from wan.serve.desk import Desk
from wan.serve.page.settings import fields_of, request_from
from wan.serve.page.shown import Shown, name_of, of_run
from wan.serve.views import Entry

BUDGET = 0.5
"""What a plain run is compared with, when nothing else is there."""
_ALIKE = (
    *("size", "frame_num", "steps", "solver", "shift", "image_sha256"),
    *("low_noise_guidance_scale", "high_noise_guidance_scale"),
)


def pair_of(run: Shown, desk: Desk) -> tuple[str, str] | None:
    """(baseline, method) by the names of their folders, when the other one is there and finished."""
    own = _alike(run.record)
    for other in finished(desk):
        if other.name != run.name and other.is_plain != run.is_plain and _alike(other.record) == own:
            return (run.name, other.name) if run.is_plain else (other.name, run.name)
    return None


def finished(desk: Desk) -> Iterable[Shown]:
    """Every run that has its video, the newest first."""
    return (
        of_run(desk.settings.folder, run) for run in desk.runs() if run.status == "finished" and run.file is not None
    )


def make_partner(run: Shown, desk: Desk) -> tuple[tuple[str, str], Entry]:
    """Submit the other run; the pair, and its request. Raises what ``Desk.submit`` raises, and ``InvalidInput`` for a
    run whose settings cannot be read."""
    if run.entry is not None:
        request, image = request_from(run.entry.settings), run.entry.image
    else:
        request, image = recorded_request(run.folder / RECORD_NAME).request, None
    fields = fields_of(request)
    fields["shortcuts"] = {"budget": BUDGET} if run.is_plain else {}
    entry = desk.submit(fields, image.read_bytes() if image else None)
    name = name_of(desk.settings.folder, entry.run_folder)
    return ((run.name, name) if run.is_plain else (name, run.name)), entry


def _alike(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two runs must share so that their difference is that of their shortcuts."""
    settings, checkpoint = record.get("settings", {}), record.get("checkpoint", {})
    named = (record.get(name) for name in ("task", "prompt", "negative_prompt", "seed"))
    return (*named, checkpoint.get("id"), *(str(settings.get(name)) for name in _ALIKE))
