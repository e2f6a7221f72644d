"""A run that was stopped, found again by its folder and made ready to go on; refused where something has changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.extending import job_with_extension
from wan.job import Job, open_job_checkpoint, prepare
from wan.prompt_extension import recorded_extension
from wan.request import Request, parse_request
from wan.runs import checkpoint_identity, environment_versions, load_record
from wan.runs.provenance import source_digest
from wan.runs.record import FINISHED, file_metadata
from wan.sampling.table import plan_record

_DECISIVE_VERSIONS = ("torch", "diffusers", "transformers", "numpy", "device")
# the source that decides what a step computes, and what a state means
_DECISIVE_SOURCE = (
    *("sampling", "models", "loading", "pipeline.py", "session.py"),
    *("text2video.py", "image2video.py", "textimage2video.py", "runs/state_file.py"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierRun:
    """``record`` is its ``run.json``; ``job`` what it works from, planned again; ``changes`` what differs by now and
    was accepted."""

    directory: Path
    record: Mapping[str, Any]
    job: Job
    changes: tuple[str, ...]

    @property
    def seed(self) -> int:
        seed: int = self.record["seed"]
        return seed

    @property
    def finished_file(self) -> str | None:
        """What the run made, when nothing is left to do."""
        made: str = self.record.get("outputs", {}).get("video", "")
        return made if self.record["status"] == FINISHED and Path(made).is_file() else None


def resume_record(request: Request, *, seed: int) -> dict[str, Any]:
    """What ``run.json`` says so that the run can be resumed: the request, and the source that runs it."""
    return {"request": request.lasting(seed=seed).argv(), "code": source_digest(_DECISIVE_SOURCE)}


def earlier_run(path: Path, *, beside: Request | None = None, accept_changes: bool = False) -> EarlierRun:
    """The run of a folder (or of its ``run.json``), ready to go on.

    ``InvalidInput`` names what has changed since: checkpoint, plan and settings, which no run survives, and code,
    versions and device, which ``accept_changes`` lets pass. ``beside``: a request that was given along with it, which
    may not say anything else.
    """
    directory = path.parent if path.is_file() else path
    record = load_record(directory)
    known = record.get("resume")
    if not isinstance(known, dict) or "request" not in known:
        raise InvalidInput(
            f"--resume {directory} was made by a version whose runs cannot be resumed; make it again with its command"
        )
    request = parse_request(known["request"])
    if beside is not None:
        _refuse_other_flags(directory, request, beside)
    job = _prepared(_with_own_file(request, record), record)
    changed = _changed_settings(record, job)
    if changed:
        raise InvalidInput(
            f"--resume {directory}: {'; '.join(changed)}; a run goes on only as it began, make a new one"
        )
    moved = _changed_code(record)
    if moved and not accept_changes:
        raise InvalidInput(
            f"--resume {directory}: {'; '.join(moved)}; the video would not be the same bit for bit: go back, or give "
            "--accept_changes to go on all the same"
        )
    return EarlierRun(directory=directory, record=record, job=job, changes=tuple(moved))


def _prepared(request: Request, record: Mapping[str, Any]) -> Job:
    """The job again; an extended prompt is read from the record and not asked for a second time."""
    if not request.extension.use_prompt_extend:
        return prepare(request)
    return job_with_extension(request, recorded_extension(record))


def _with_own_file(request: Request, record: Mapping[str, Any]) -> Request:
    """The request, which may replace its --save_file when it is this run's: written, and the process killed before
    the record said so."""
    path = request.save_file
    if path is None or not path.is_file():
        return request
    from wan.runs.video import read_settings  # it needs PyAV, which a dry run need not wait for

    try:
        is_own = read_settings(path) == file_metadata(record)
    except InvalidInput:
        return request  # which is then refused, as that file is another's
    return replace(request, overwrite=True) if is_own else request


def _refuse_other_flags(directory: Path, request: Request, beside: Request) -> None:
    """Flags beside --resume that ask for something else."""
    nothing, asked = Request(), beside.lasting(seed=beside.seed)
    other = {
        name: getattr(beside, name)
        for name in Request.__dataclass_fields__
        if getattr(beside, name) != getattr(nothing, name) and getattr(asked, name) != getattr(request, name)
    }
    if other:
        given = [flag for flag in replace(nothing, **other).argv() if flag.startswith("--")]
        raise InvalidInput(
            f"--resume {directory} goes on with the settings that the run began with, and {', '.join(given)} is not as "
            "it was then: leave that out, or make a new run"
        )


def _changed_settings(record: Mapping[str, Any], job: Job) -> list[str]:
    """What decides the video and is not as it was: of these there is no going on."""
    then, now = record["settings"], _plain(job.record())
    changed = [
        f"{name} was {then.get(name)!r} and is {value!r}" for name, value in now.items() if then.get(name) != value
    ]
    planned = _plain(plan_record(job.plan))
    if not changed and any(record["plan"].get(name) != value for name, value in planned.items()):
        changed.append("its plan is not the one that the same settings give now (another calibration, or version)")
    identity = checkpoint_identity(open_job_checkpoint(job).path)["id"]
    if record["checkpoint"]["id"] != identity:
        changed.append(f"its checkpoint has changed ({record['checkpoint']['id'][:12]} then, {identity[:12]} now)")
    return changed


def _changed_code(record: Mapping[str, Any]) -> list[str]:
    versions = environment_versions(record["settings"]["device"])
    changed = [
        f"{name} was {record['versions'].get(name)} and is {versions[name]}"
        for name in _DECISIVE_VERSIONS
        if record["versions"].get(name) != versions[name]
    ]
    if record["resume"]["code"] != source_digest(_DECISIVE_SOURCE):
        changed.append("the code of this project that makes a video has changed")
    return changed


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
