"""The other run of a comparison: the plain one of an accelerated run, or an accelerated one of a plain run."""

from collections.abc import Iterable, Mapping
from typing import Any

from wan.errors import InvalidInput
from wan.serve.desk import Desk
from wan.serve.page.settings import request_of, spelled_out
from wan.serve.page.shown import Shown, name_of, of_run
from wan.serve.request_fields import fields_of, has_other_weights, request_from
from wan.serve.views import Entry

BUDGET = 0.5
"""What a plain run is compared with, when nothing else is there."""
_ALIKE = (
    *("size", "frame_num", "steps", "solver", "shift", "image_sha256"),
    *("low_noise_guidance_scale", "high_noise_guidance_scale", "loras", "denoisers", "quantize"),
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


def make_partner(run: Shown, desk: Desk, *, refusal: str) -> tuple[tuple[str, str], Entry]:
    """Submit the other run; the pair, and its request. Raises what ``Desk.submit`` raises, ``InvalidInput`` for a run
    whose settings cannot be read, and with the sentence ``refusal`` for one with other weights than the service's."""
    request, image = request_of(run)
    if has_other_weights(request, desk.settings):
        raise InvalidInput(refusal)
    fields = fields_of(spelled_out(request, desk.settings))
    fields["shortcuts"] = {"budget": BUDGET} if run.is_plain else {}
    entry = _on_its_way(desk, fields) or desk.submit(fields, image.read_bytes() if image else None)
    name = name_of(desk.settings.folder, entry.run_folder)
    return ((run.name, name) if run.is_plain else (name, run.name)), entry


def _on_its_way(desk: Desk, fields: Mapping[str, Any]) -> Entry | None:
    """The request that asks for the same and waits or runs: a second press makes no second video."""
    wanted = request_from(fields)
    return next((one for one in desk.entries() if not one.is_over and request_from(one.settings) == wanted), None)


def _alike(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two runs must share so that their difference is that of their shortcuts."""
    settings, checkpoint = record.get("settings", {}), record.get("checkpoint", {})
    named = (record.get(name) for name in ("task", "prompt", "negative_prompt", "seed"))
    return (*named, checkpoint.get("id"), *(str(settings.get(name)) for name in _ALIKE))
