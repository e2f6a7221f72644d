"""What the service keeps of a request beside the queue: ``request.json`` in its run folder, written before it waits."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wan.batch.segments import Entry as QueueEntry
from wan.configs import WAN_CONFIGS, parse_size
from wan.errors import InvalidInput
from wan.flags import data_of
from wan.request import parse_request
from wan.runs.atomic import atomic_path, write_json_atomic
from wan.sampling.geometry import adjusted_frame_num
from wan.serve.planning import PlannedRequest
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused

REQUEST_NAME = "request.json"
_FORMAT = "wan22-shortcut request 1"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request as it was asked for and planned; see ``wan.serve.views.Entry``. ``experts`` and ``work``: of every
    step, the work as a share of the whole; empty where nothing is known of the plan. ``image``: a file in the folder.
    """

    id: str
    created_at: float
    task: str
    prompt: str
    size: tuple[int, int]
    frame_num: int
    fps: int
    seed: int
    flops: float
    share: float = 1.0
    experts: tuple[str, ...] = ()
    work: tuple[float, ...] = ()
    notices: tuple[str, ...] = ()
    image: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Any] = field(default_factory=dict)

    def done_after(self, step: int) -> float:
        """The share of the work that is done after so many steps."""
        return min(1.0, sum(self.work[:step]))


def asked_for(found: PlannedRequest, folder: Path, *, id: str, created_at: float) -> Asked:
    """The record of a planned request, whose seed is drawn and whose image, if any, is in its run folder."""
    job, image, seed = found.job, found.job.request.image, found.job.request.seed
    kept = {name: value for name, value in found.fields.items() if name not in ("seed", "base_seed")}
    return Asked(
        id=id,
        created_at=created_at,
        task=job.config.name,
        prompt=job.prompt,
        size=(job.geometry.width, job.geometry.height),
        frame_num=job.geometry.pixel_frames,
        fps=job.config.sample_fps,
        seed=seed,
        flops=found.tag.planned.flops,
        share=found.tag.fractions()["flops"],
        experts=tuple(step.expert.value for step in job.plan.steps),
        work=found.work,
        notices=found.notices,
        image=image.name if image is not None and image.parent == folder else None,
        settings=kept | {"task": job.config.name, "base_seed": seed},
        weights=data_of(job.request.weights),
    )


def write_asked(folder: Path, asked: Asked) -> None:
    """OSError when it cannot be written."""
    write_json_atomic(folder / REQUEST_NAME, {"format": _FORMAT, **asdict(asked)})


def read_asked(folder: Path, entry: QueueEntry, *, created_at: float) -> Asked:
    """The record of a request of the queue; for one that ``wan batch`` put there, what its flags say. ``created_at`` is
    for that."""
    try:
        found = read_json_object(folder / REQUEST_NAME)
        if found.pop("format") != _FORMAT:
            raise Refused("another format")
        listed = {name: tuple(found[name]) for name in ("size", "experts", "work", "notices")}
        return Asked(**{**found, **listed})
    except (Refused, KeyError, TypeError):
        return _from_flags(entry, created_at)


def _from_flags(entry: QueueEntry, created_at: float) -> Asked:
    request = parse_request(entry.argv)
    config = WAN_CONFIGS[request.task or "t2v-A14B"]
    return Asked(
        id=entry_id(entry.key),
        created_at=created_at,
        task=config.name,
        prompt=entry.prompt,
        size=request.size or parse_size(config.default_size),
        frame_num=adjusted_frame_num(config, request.frame_num or config.frame_num),
        fps=config.sample_fps,
        seed=request.seed,
        flops=entry.price,
        weights=data_of(request.weights),
    )


def entry_id(key: str) -> str:
    """The id of a request as clients know it, from its key in the queue."""
    return f"video_{key}"


def write_image(folder: Path, content: bytes) -> Path:
    """Put a picture that a client sent into its run folder, under a name made of what it holds alone."""
    suffix = next((suffix for start, suffix in _SUFFIXES.items() if content.startswith(start)), ".img")
    path = folder / f"input-{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return path


def refuse_no_prompt(fields: Mapping[str, Any]) -> None:
    """``InvalidInput`` for a request without a prompt: nobody pays for an example by mistake."""
    prompt = fields.get("prompt")
    if prompt is None or (isinstance(prompt, str) and not prompt.strip()):
        raise InvalidInput("--prompt is missing; say what the video is to show")
