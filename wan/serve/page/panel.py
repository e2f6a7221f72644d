"""A panel: HTML that the server sends again and again, worked into what the reader sees; its buttons are events."""

from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr


def panel(value: str = "", *, name: str | None = None, kind: str = "") -> Any:
    """A component whose value is HTML of ``wan.serve.page.html``; it takes no room while it is empty.

    A press of one of its buttons is a ``click`` with ``act`` and ``name`` in the event's data.
    """
    return gr.HTML(
        value,
        html_template='<div class="wan-host"></div>',
        js_on_load=_script(),
        apply_default_css=False,
        elem_id=name,
        elem_classes=["wan-panel", *([kind] if kind else [])],
    )


@cache
def _script() -> str:
    return Path(__file__).with_name("panel.js").read_text(encoding="utf-8")
