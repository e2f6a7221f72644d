"""Settings back into the form: from a file that is dropped on the page, or from a run of the service."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from wan.errors import InvalidInput, WanError
from wan.recorded_request import recorded_request
from wan.request import Request
from wan.serve.page import html
from wan.serve.page.context import GENERATE, Context
from wan.serve.page.form import Form
from wan.serve.page.settings import request_of
from wan.serve.page.shown import Shown
from wan.serve.request_fields import has_other_weights


def restored(context: Context, form: Form, path: str | None) -> list[Any]:
    """Updates of the form, of the sentence beside it, and of the tabs, from a dropped file.

    The file is a stranger's: it gives settings, and names no other file that would be read.
    """
    if path is None:
        return [*[gr.skip()] * len(form.components), "", gr.skip()]
    words = context.words
    try:
        request = recorded_request(Path(path)).request
        left_out = [words("left_out_image")] if request.image else []
        left_out += [words("left_out_plan")] if request.shortcuts.plan else []
        left_out += _left_out(context, request)
        request = replace(request, image=None, shortcuts=replace(request.shortcuts, plan=None))
        return _filled(context, form, request, None, words("restored", name=Path(path).name), left_out)
    except (WanError, OSError) as error:
        sentence = str(error).replace(f"--from {path}", Path(path).name).replace(path, Path(path).name)
        return [*[gr.skip()] * len(form.components), html.fault(sentence), gr.skip()]


def reused(context: Context, form: Form, run: Shown, *, said: str) -> list[Any]:
    """The same from a run of this service, with its own image; ``said`` is the sentence beside the form.

    ``WanError`` or OSError when its settings cannot be read, or not be asked for here.
    """
    request, image = request_of(run)
    left_out = [context.words("left_out_image")] if request.image and image is None else []
    left_out += _left_out(context, request)
    return _filled(context, form, request, image, said, left_out)


def _left_out(context: Context, request: Request) -> list[str]:
    """Sentences about what the form has no field for here, because the operator of the service decides it."""
    settings, found = context.desk.settings, []
    if has_other_weights(request, settings):
        found.append(context.words("left_out_weights"))
    if request.extension.use_prompt_extend and settings.extension is None:
        found.append(context.words("left_out_extension"))
    return found


def _filled(
    context: Context, form: Form, request: Request, image: Path | None, said: str, left_out: list[str]
) -> list[Any]:
    task = request.task or next(iter(context.models))
    if task not in context.models:
        raise InvalidInput(context.words("other_model", task=task, served=", ".join(context.models)))
    updates = form.updates(context, request, image=image)
    return [*updates, html.note(" ".join([said, *left_out])), gr.update(selected=GENERATE)]
