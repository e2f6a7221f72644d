"""Puts the page on the service: one address for each language, the files of runs, and the way from the bare address."""

import os

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it is read when Gradio is imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr

from wan.serve.desk import Desk
from wan.serve.page import style
from wan.serve.page.comparisons import Comparisons
from wan.serve.page.context import Context
from wan.serve.page.files import serve_file
from wan.serve.page.gate import Gate
from wan.serve.page.page import make_page
from wan.serve.page.words import LANGUAGES, Words


def mount_page(app: FastAPI, desk: Desk) -> FastAPI:
    """The application with the page: ``/`` leads to ``/en/`` or ``/zh/``, and ``/files/`` has the runs' files."""
    folder, device = desk.settings.folder, desk.settings.devices[0]

    def start(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{preferred_language(request.headers.get('accept-language', ''))}/{query}", 307)

    def file(request: Request) -> Response:
        return serve_file(folder, request)

    app.add_route("/", start, methods=["GET"], include_in_schema=False)
    app.add_route("/files/{path:path}", file, methods=["GET", "HEAD"], include_in_schema=False)
    comparisons = Comparisons(folder=folder, device=device)
    for language in LANGUAGES:
        context = Context(
            desk=desk, words=Words(language), folder=folder, models=desk.models(), comparisons=comparisons
        )
        gr.mount_gradio_app(
            app,
            make_page(context),
            f"/{language}",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=desk.settings.max_upload,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=style.theme(),
            css=style.style(),
            js=style.script(language),
        )
        _guard(app, f"/{language}", language)
    return app


def preferred_language(accepted: str) -> str:
    """The language of the page for a browser's ``Accept-Language``: the first of both that it names; else English."""
    wanted = []
    for part in accepted.split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), name.lower().split("-")[0]))
        except ValueError:
            continue
    return next((name for _, name in sorted(wanted, key=lambda one: one[0]) if name in LANGUAGES), LANGUAGES[0])


def _guard(app: FastAPI, path: str, language: str) -> None:
    mounted = next(route for route in app.routes if isinstance(route, Mount) and route.path == path)
    mounted.app = Gate(mounted.app, language=language)
