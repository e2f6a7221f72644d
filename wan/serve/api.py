"""The HTTP API of the service, as OpenAI's video API has it; it translates, and the desk does everything else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

import wan
from wan.serve.bodies import read_body
from wan.serve.desk import Desk
from wan.serve.metrics import Metrics
from wan.serve.openai_fields import posted, their_name, video_object
from wan.serve.views import Entry, RequestRefused, UnknownEntry

MOST_LISTED, LISTED = 100, 20
_TYPES = {".mp4": "video/mp4", ".png": "image/png", ".webp": "image/webp"}
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NotReady(UnknownEntry):
    """A request has no video yet, or will have none."""


def router(desk: Desk) -> APIRouter:
    """Every address of the API."""
    routes = APIRouter()
    _add_videos(routes, desk)
    _add_one_video(routes, desk)
    _add_operating(routes, desk, Metrics(desk))
    return routes


def _add_videos(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/v1/videos")
    async def create(request: Request) -> Response:
        _refuse_query(request)
        body, image = await read_body(request)
        scales = desk.settings.defaults.get("sample_guide_scale", ())
        asked = posted(body, models=desk.models(), scales=scales)
        try:
            entry = await run_in_threadpool(desk.submit, asked.fields, image, notices=asked.notices)
        except RequestRefused as error:
            raise RequestRefused(str(error), field=their_name(error.field, body)) from error
        return JSONResponse(_shown(desk, entry))

    @routes.get("/v1/videos")
    def list_videos(request: Request) -> Response:
        _refuse_query(request, "after", "limit", "order")
        return JSONResponse(_page(desk, request.query_params))


def _add_one_video(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/v1/videos/{id}")
    def retrieve(request: Request, id: str) -> Response:
        _refuse_query(request)
        return JSONResponse(_shown(desk, desk.entry(id)))

    @routes.get("/v1/videos/{id}/content")
    def content(request: Request, id: str) -> Response:
        _refuse_query(request, "variant")
        path = _file(desk.entry(id), request.query_params.get("variant", "video"))
        return FileResponse(path, media_type=_TYPES[path.suffix], filename=f"{id}{path.suffix}")

    @routes.post("/v1/videos/{id}/cancel")
    def cancel(request: Request, id: str) -> Response:
        _refuse_query(request)
        return JSONResponse(_shown(desk, desk.cancel(id)))

    @routes.post("/v1/videos/{id}/resume")
    def resume(request: Request, id: str) -> Response:
        _refuse_query(request)
        return JSONResponse(_shown(desk, desk.resume(id)))

    @routes.post("/v1/videos/{id}/prefer")
    def prefer(request: Request, id: str) -> Response:
        _refuse_query(request)
        return JSONResponse(_shown(desk, desk.prefer(id)))

    @routes.delete("/v1/videos/{id}")
    def delete(request: Request, id: str) -> Response:
        _refuse_query(request)
        desk.delete(id)
        return JSONResponse({"id": id, "object": "video.deleted", "deleted": True})


def _add_operating(routes: APIRouter, desk: Desk, metrics: Metrics) -> None:
    @routes.get("/v1/models")
    def models() -> Response:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "wan"} for name in desk.models()]
        return JSONResponse({"object": "list", "data": listed})

    @routes.api_route("/health", methods=["GET", "HEAD"])
    def health() -> Response:
        alive, wanted = desk.workers()
        state = {"status": "ok" if alive else "no worker", "version": wan.__version__}
        return JSONResponse(state | {"workers": alive, "workers_wanted": wanted}, status_code=200 if alive else 503)

    @routes.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), media_type=_METRICS_TYPE)


def _shown(desk: Desk, entry: Entry) -> dict[str, Any]:
    """The object of a request; no place on the service's machine stands in it."""
    found = video_object(entry)
    if found["error"]:
        sentence = found["error"]["message"].replace(str(desk.settings.folder), "")
        for folder in filter(None, desk.models().values()):
            sentence = sentence.replace(str(folder), "")
        found["error"]["message"] = sentence
    return found


def _page(desk: Desk, asked: Mapping[str, str]) -> dict[str, Any]:
    order, text, after = asked.get("order", "desc"), asked.get("limit", str(LISTED)), asked.get("after")
    if order not in ("asc", "desc"):
        raise RequestRefused(f"order {order[:20]!r} must be asc or desc", field="order")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= MOST_LISTED:
        raise RequestRefused(f"limit {text[:20]!r} must be from 1 to {MOST_LISTED}", field="limit")
    ids = desk.ids()
    if order == "asc":
        ids.reverse()
    if after is not None:
        if after not in ids:
            raise RequestRefused(f"after {after[:60]!r} is no video that is listed here", field="after")
        ids = ids[ids.index(after) + 1 :]
    entries = []
    for id in ids[:limit]:
        try:
            entries.append(desk.entry(id))
        except UnknownEntry:  # deleted meanwhile
            continue
    return {
        "object": "list",
        "data": [_shown(desk, entry) for entry in entries],
        "has_more": len(ids) > limit,
        "first_id": entries[0].id if entries else None,
        "last_id": entries[-1].id if entries else None,
    }


def _file(entry: Entry, variant: str) -> Path:
    """A file of a request; ``NotReady`` when there is none."""
    if variant not in ("video", "preview"):
        raise RequestRefused(f"variant {variant[:20]!r} must be video, or preview while it is made", field="variant")
    path = entry.file if variant == "video" else entry.preview
    if path is None or not path.is_file():
        raise NotReady(f"{entry.id} has no {variant} now: it is {entry.state}, at {int(100 * entry.progress)} %")
    return path


def _refuse_query(request: Request, *known: str) -> None:
    for name in request.query_params:
        if name not in known:
            hint = f"; known are {', '.join(known)}" if known else ""
            raise RequestRefused(f'"{name[:40]}" is no parameter of this address{hint}', field=name[:40])
