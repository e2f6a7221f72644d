"""The fields of OpenAI's video API and of diffusers, to those of a request here, and a request as OpenAI's object."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wan.configs import WAN_CONFIGS, TaskConfig
from wan.sampling.geometry import nearest_frame_num
from wan.serve.fields import SHORTCUT_FIELDS, SHORTCUTS, SWITCHES, unknown_field
from wan.serve.views import Entry, RequestRefused
from wan.texts import shown

_SAME = {
    "prompt": "prompt",
    "model": "task",
    "size": "size",
    "seed": "base_seed",
    "negative_prompt": "negative_prompt",
    "num_frames": "frame_num",
    "num_inference_steps": "sample_steps",
    "sample_solver": "sample_solver",
    "sample_shift": "sample_shift",
    "use_prompt_extend": "use_prompt_extend",
    "budget": "budget",
    SHORTCUTS: SHORTCUTS,
}
_READ = ("seconds", "fps", "guidance_scale", "guidance_scale_2")
IMAGE = "input_reference"
KNOWN = (*_SAME, *_READ, IMAGE)
"""What may be posted."""
_THEIRS = {ours: theirs for theirs, ours in _SAME.items()} | {"sample_guide_scale": "guidance_scale", "image": IMAGE}
STATUSES = {
    "waiting": "queued",
    "running": "in_progress",
    "finished": "completed",
    "failed": "failed",
    "cancelled": "failed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """What a client has posted: ``fields`` for the desk, and what was made of ``seconds``."""

    fields: dict[str, Any]
    notices: tuple[str, ...] = field(default=())


def posted(body: Mapping[str, Any], *, models: Collection[str], scales: Sequence[float] = ()) -> Posted:
    """Translate a body; ``RequestRefused`` for a field that is not known or that no video here can have. ``scales``:
    the service's own guidance scales, where it has some."""
    for name in body:
        if name not in KNOWN:
            is_ours = name in SHORTCUT_FIELDS
            inside = f'"{name}" stands inside of "{SHORTCUTS}": {{"{SHORTCUTS}": {{"{name}": ...}}}}'
            raise RequestRefused(inside if is_ours else unknown_field(name, KNOWN), field=name)
    fields = {ours: body[theirs] for theirs, ours in _SAME.items() if body.get(theirs) is not None}
    task = fields.setdefault("task", next(iter(models)))
    config = WAN_CONFIGS.get(task) if isinstance(task, str) and task in models else None
    if config is None:
        raise RequestRefused(
            f"model {shown(str(task))} is not served here; choose one of {', '.join(models)}", field="model"
        )
    _refuse_other_fps(body, config)
    fields |= _scales(body, config, scales)
    if body.get("seconds") is None:
        return Posted(fields=fields)
    if body.get("num_frames") is not None:
        raise RequestRefused("seconds and num_frames both say how long the video is; give one of them", field="seconds")
    fields["frame_num"], notice = _frames(body["seconds"], config)
    return Posted(fields=fields, notices=(notice,) if notice else ())


def their_name(field: str | None, body: Mapping[str, Any]) -> str | None:
    """How the client calls a field of ours, for ``param`` in an error."""
    if field == "frame_num" and "seconds" in body:
        return "seconds"
    if field in SHORTCUT_FIELDS and field not in body:
        return f"{SHORTCUTS}.{field}"
    return None if field is None else _THEIRS.get(field, field)


def with_truth_values(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a form, where all is text, with the switches, those of the shortcuts too, as true and false."""
    read, nested = _with_truth(body), body.get(SHORTCUTS)
    return {**read, SHORTCUTS: _with_truth(nested)} if isinstance(nested, Mapping) else read


def _with_truth(fields: Mapping[str, Any]) -> dict[str, Any]:
    truth = {"true": True, "false": False}
    return {name: truth.get(value, value) if name in SWITCHES else value for name, value in fields.items()}


def video_object(entry: Entry) -> dict[str, Any]:
    """A request as OpenAI's video object; what that has no name for stands under ``wan``."""
    status = STATUSES[entry.state]
    return {
        "id": entry.id,
        "object": "video",
        "created_at": int(entry.created_at),
        "completed_at": int(entry.ended_at) if entry.ended_at is not None and status == "completed" else None,
        "expires_at": None,
        "status": status,
        "progress": 100 if status == "completed" else min(99, int(100 * entry.progress)),
        "model": entry.task,
        "prompt": entry.prompt,
        "seconds": f"{entry.video_seconds:g}",
        "size": f"{entry.size[0]}x{entry.size[1]}",
        "error": _error(entry),
        "remixed_from_video_id": None,
        "seed": entry.seed,
        "num_frames": entry.frame_num,
        "fps": entry.fps,
        "num_inference_steps": entry.steps,
        "wan": {
            "state": entry.state,
            "step": entry.step,
            "expert": entry.expert,
            "position": entry.position,
            "eta_seconds": None if entry.eta_seconds is None else round(entry.eta_seconds, 1),
            "share": round(entry.share, 4),
            "notices": list(entry.notices),
        },
    }


def _error(entry: Entry) -> dict[str, str] | None:
    if entry.state == "cancelled":
        return {"code": "cancelled", "message": "it was cancelled; what it had computed is kept"}
    return {"code": "generation_failed", "message": entry.error} if entry.state == "failed" else None


def _refuse_other_fps(body: Mapping[str, Any], config: TaskConfig) -> None:
    fps = body.get("fps")
    if fps is not None and str(fps) != str(config.sample_fps):
        raise RequestRefused(
            f"fps {shown(str(fps))}: {config.name} makes videos of {config.sample_fps} frames a second; leave it out",
            field="fps",
        )


def _scales(body: Mapping[str, Any], config: TaskConfig, own: Sequence[float]) -> dict[str, Any]:
    """As in diffusers ``guidance_scale`` is for the high-noise expert, and for both unless ``guidance_scale_2`` says
    what the low-noise expert has; here the low-noise one comes first."""
    high, low = body.get("guidance_scale"), body.get("guidance_scale_2")
    if low is None:
        return {} if high is None else {"sample_guide_scale": high}
    default = config.sample_guide_scale
    if not isinstance(default, tuple):
        raise RequestRefused(
            f"guidance_scale_2 is for the low-noise expert, and {config.name} has one; give guidance_scale alone",
            field="guidance_scale_2",
        )
    return {"sample_guide_scale": [low, (own or default)[-1] if high is None else high]}


def _frames(seconds: Any, config: TaskConfig) -> tuple[int, str | None]:
    """The frames of so many seconds as the task makes them, and a sentence where they last longer or shorter."""
    if config.is_image_task:
        raise RequestRefused(f"seconds: {config.name} makes one picture; leave it out", field="seconds")
    try:
        asked = float(seconds) if isinstance(seconds, int | float | str) and not isinstance(seconds, bool) else 0.0
    except ValueError:
        asked = 0.0
    fps, stride = config.sample_fps, config.vae_stride[0]
    if not 0 < asked < 1e6 or round(asked * fps) < 1:
        raise RequestRefused(
            f"seconds {shown(str(seconds))} must be a number, at least one frame ({1 / fps:g} s)", field="seconds"
        )
    frames = nearest_frame_num(round(asked * fps), stride)
    if frames / fps == asked:
        return frames, None
    return frames, (
        f"seconds {asked:g} becomes {frames} frames at {fps} frames a second, {frames / fps:g} s: {config.name} makes "
        f"{stride}n+1 frames"
    )
