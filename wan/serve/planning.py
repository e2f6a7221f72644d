"""Requests planned and priced for the service before they are stored, and what a quote says of them."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wan.batch.planned import session_of
from wan.image_input import picture_of
from wan.job import Job, cut_texts, open_job_checkpoint, prepare
from wan.parallel.sharing import NOTHING, refuse_without_team, sharing_of
from wan.prompt_extension import PromptExtension
from wan.request import Request
from wan.runs.writable import refuse_unwritable_folder
from wan.sampling.price import PriceTag, price
from wan.sampling.table import format_plan, format_price
from wan.serve.fields import FieldReader, refusing
from wan.serve.settings import DeskSettings
from wan.serve.views import Quote, RequestRefused

MOST_PIXELS = 50_000_000
"""Of a picture that a client sends: a few kilobytes can name more than a machine has memory for."""
_IMAGE = Path("image")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRequest:
    """A request that can be made. ``fields``: what was asked for, with the service's defaults. ``session``: what it has
    in common with others that the same loaded models make.
    """

    fields: Mapping[str, Any]
    job: Job
    tag: PriceTag
    session: str
    notices: tuple[str, ...]

    @property
    def work(self) -> tuple[float, ...]:
        """What every step costs, as shares of the whole: passes times latent frames."""
        costs = [len(step.evaluated) * step.latent_frames for step in self.job.plan.steps]
        return tuple(cost / (sum(costs) or 1) for cost in costs)


def refuse_unservable(settings: DeskSettings) -> dict[str, float]:
    """``InvalidInput`` for a folder, a task, a checkpoint or a device with which no request could be made; the FLOPs of
    the video that each task makes here when a request leaves everything out. Nothing is written."""
    refuse_unwritable_folder(settings.folder, flag="--output_dir")
    reader, plain = FieldReader(settings), {}
    for task in settings.models:
        for device in settings.devices:
            request = reader.request(reader.completed({"task": task, "prompt": "a prompt"}))
            machine = replace(settings.machine, device=device)
            extension = settings.extension or PromptExtension()
            job = prepare(replace(request, machine=machine, extension=extension), needs_image=False)
            refuse_without_team(sharing_of(machine), NOTHING)
            plain[task] = price(job.plan, open_job_checkpoint(job).denoiser_size).planned.flops
    return plain


class RequestPlanner:
    """Plans fields; any number of threads may ask at once, and one picture is decoded at a time."""

    def __init__(self, settings: DeskSettings) -> None:
        """``InvalidInput``: see ``refuse_unservable``."""
        self._settings = settings
        self._reader = FieldReader(settings)
        self._pictures = threading.Lock()
        self._plain = refuse_unservable(settings)

    def plan(self, fields: Mapping[str, Any], image: bytes | None) -> PlannedRequest:
        """Complete, check and price a request; ``RequestRefused`` for what cannot be made, ``CheckpointError`` when the
        service's own checkpoint has come to harm."""
        fields = self._reader.completed(fields)
        request = self._reader.request(fields)
        with refusing():
            found = self._planned(request, image, fields)
        self._refuse_dear(found)
        return found

    def _planned(self, request: Request, image: bytes | None, fields: Mapping[str, Any]) -> PlannedRequest:
        if image is None:
            job = prepare(request)
        else:
            if len(image) > self._settings.max_upload:
                raise RequestRefused(
                    f"--image has {len(image):,} bytes, and {self._settings.max_upload:,} are the most here; scale it "
                    "down",
                    field="image",
                )
            with self._pictures:
                picture = picture_of(image, name="--image", most_pixels=MOST_PIXELS)
            job = prepare(replace(request, image=_IMAGE), picture=picture)
        checkpoint = open_job_checkpoint(job)
        tag = price(job.plan, checkpoint.denoiser_size)
        notices = (*job.notices, *cut_texts(job, checkpoint))
        return PlannedRequest(fields=fields, job=job, tag=tag, session=session_of(job), notices=notices)

    def _refuse_dear(self, found: PlannedRequest) -> None:
        task, most = found.job.config.name, self._settings.max_cost
        plain = self._plain[task]
        if found.tag.planned.flops > most * plain:
            raise RequestRefused(
                f"it would cost {found.tag.planned.flops / plain:.1f} times the video that {task} makes here by "
                f"default, and {most:g} times is the most here; ask for fewer frames, fewer steps, a smaller size or a "
                "lower budget"
            )


def quote_of(found: PlannedRequest, *, seconds: float | None) -> Quote:
    """What a client is told before it submits."""
    job, shares = found.job, found.tag.fractions()
    expectation = job.plan.expectation
    return Quote(
        task=job.config.name,
        size=(job.geometry.width, job.geometry.height),
        frame_num=job.geometry.pixel_frames,
        fps=job.config.sample_fps,
        steps=len(job.plan.steps),
        forwards=found.tag.planned.forwards,
        flops=found.tag.planned.flops,
        share=shares["flops"],
        forward_share=shares["forwards"],
        table=format_plan(job.plan),
        price=format_price(found.tag),
        expectation=expectation or None,
        seconds=seconds,
        notices=tuple(one for one in found.notices if one != expectation),
    )
