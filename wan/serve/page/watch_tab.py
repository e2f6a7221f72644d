"""The tab *Watch*: one run while it is made and afterwards, with everything that can be done with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from wan.analysis.page_text import escaped
from wan.analysis.plan_picture import plan_svg, plan_table
from wan.serve.page import html
from wan.serve.page.context import Context
from wan.serve.page.media import screen
from wan.serve.page.panel import panel
from wan.serve.page.shown import Shown, find, name_of
from wan.serve.views import Entry

_LISTED = 40


@dataclass(frozen=True, slots=True)
class WatchTab:
    """``watched`` holds the name of the run's folder."""

    watched: Any
    screen: Any
    progress: Any
    details: Any
    said: Any
    timer: Any


def build(context: Context) -> WatchTab:
    """Lay the tab out: the screen, and beside it how far it is and what can be done."""
    words = context.words
    watched = gr.Dropdown([], label=words("which_run"), allow_custom_value=True, elem_id="watched")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            shown = panel(name="screen")
        with gr.Column(scale=2, min_width=320):
            progress = panel(name="progress")
            said = panel()
    details = panel(name="details")
    return WatchTab(
        watched=watched,
        screen=shown,
        progress=progress,
        details=details,
        said=said,
        timer=gr.Timer(0.7, active=False),
    )


def choices(context: Context) -> list[tuple[str, str]]:
    """The newest requests, (label, name of the folder)."""
    return [
        (_label(context, entry), name_of(context.folder, entry.run_folder))
        for entry in context.desk.entries()[:_LISTED]
    ]


def _label(context: Context, entry: Entry) -> str:
    words = context.words
    cost = words("cost", share=f"{entry.share:.2f}")
    return f"{entry.prompt[:70]} · {cost} · {words('seed_short', seed=entry.seed)}"


def look(context: Context, name: str | None) -> tuple[str, str, str]:
    """Screen, progress and details."""
    run = find(context.desk, name) if name else None
    if run is None:
        text = context.words("nothing_here") if not name else context.words("no_such_run", name=name)
        return html.whole(html.paragraph(text, "empty")), "", ""
    return screen(context, run), _progress(context, run), _details(context, run)


def newest(context: Context) -> str | None:
    """The request at work, or the newest one; None while there is none."""
    entries = context.desk.entries()
    running = [entry for entry in entries if entry.state == "running"]
    return next((name_of(context.folder, entry.run_folder) for entry in [*running, *entries]), None)


def _progress(context: Context, run: Shown) -> str:
    words, entry = context.words, run.entry
    parts = [f"<h2>{escaped(run.prompt)}</h2>", html.badge(run.state, words.state(run.state))]
    if entry is not None and entry.state == "running":
        parts += _steps(context, run)
    elif entry is not None and entry.position is not None:
        parts.append(html.paragraph(words("in_line", count=entry.position)))
    if run.is_over and run.error and run.state != "cancelled":
        parts.append(f'<p class="fault" role="alert">{escaped(run.error)}</p>')
    if run.state == "cancelled":
        kept = (
            words("kept_steps", step=entry.step, steps=entry.steps) if entry and entry.step else words("kept_nothing")
        )
        parts.append(html.paragraph(kept))
    return html.whole(*parts, buttons(context, run), _link(context, run))


def _steps(context: Context, run: Shown) -> list[str]:
    words, entry = context.words, run.entry
    assert entry is not None
    steps = run.record.get("plan", {}).get("steps", ())
    cells = "".join(
        f'<i class="{"low" if step.get("expert") == "low_noise" else ""}{" done" if index < entry.step else ""}"></i>'
        for index, step in enumerate(steps)
    )
    expert = words.expert(entry.expert) if entry.expert else words("loading")
    left = words("left", seconds=words.seconds(entry.eta_seconds)) if entry.eta_seconds is not None else ""
    at_step = words("step_of", step=entry.step, steps=entry.steps, expert=expert)
    return [
        html.paragraph(at_step if entry.step < entry.steps else words("making_file")),
        f'<progress max="1" value="{entry.progress:.3f}" aria-label="{escaped(words("progress"))}"></progress>',
        f'<div class="steps" aria-hidden="true">{cells}</div>' if cells else "",
        html.paragraph(left, "quiet") if left else "",
    ]


def buttons(context: Context, run: Shown) -> str:
    """What can be done with a run as it is now."""
    words, entry, found = context.words, run.entry, []
    if entry is not None and not entry.is_over:
        found.append(html.button("cancel", run.name, words("cancel_keep")))
    if run.is_finished and not _is_picture(run):
        found.append(
            html.button("partner", run.name, words("make_fast" if run.is_plain else "make_plain"), kind="main")
        )
    if run.can_go_on:
        found.append(html.button("resume", run.name, resume_label(context, run), kind="main"))
    if run.is_over and not run.is_finished and run.has_latents:
        found.append(html.button("decode", run.name, words("decode")))
    if run.file is not None:
        address = html.address(run.name, run.file.name, download=True)
        found.append(f'<a class="button" href="{address}" download>{escaped(words("download"))}</a>')
    found.append(html.button("reuse", run.name, words("reuse")))
    if entry is not None and entry.is_over:
        found.append(html.button("delete", run.name, words("delete"), confirm=words("delete_really")))
    return html.row(*found)


def resume_label(context: Context, run: Shown) -> str:
    """What the button says that lets a run go on: where nothing of it is kept, it begins again."""
    return context.words("retry" if run.entry is not None and not run.entry.step else "resume")


def _is_picture(run: Shown) -> bool:
    return run.file is not None and run.file.suffix == ".png"


def _link(context: Context, run: Shown) -> str:
    """The address of this run, which the browser shows from now on."""
    words = context.words
    return f'<p class="quiet" data-link="?run={escaped(quote(run.name))}">{escaped(words("deep_link"))}</p>'


def _details(context: Context, run: Shown) -> str:
    words, record = context.words, run.record
    if not record:
        return ""
    settings, timing = record.get("settings", {}), record.get("timing", {})
    size = "×".join(map(str, settings.get("size", ())))
    rows = [
        (words("model"), run.task),
        (words("seed_name"), str(run.seed)),
        (words("size"), f"{size}, {words('count_frames', count=settings.get('frame_num', ''))}"),
        (words("steps"), f"{settings.get('steps', '')}, {settings.get('solver', '')}"),
        (words("shortcuts"), context.cost_label(run.shortcuts)),
        (words("folder"), run.name),
    ]
    if loras := settings.get("loras"):
        rows.insert(1, ("LoRA", ", ".join(f"{Path(one['path']).name} ({one['scale']:g})" for one in loras)))
    if extended := record.get("prompt_extension", {}).get("extended"):
        rows.insert(0, (words("extended"), str(extended)))
    if "inference" in timing:
        rows.insert(-1, (words("inference"), words("seconds", seconds=f"{timing['inference']:.2f}")))
    parts = [html.facts(rows)]
    if run.notices:
        parts.append(html.folded(words("notes", count=len(run.notices)), html.bullets(run.notices)))
    if plan := record.get("plan"):
        parts.append(html.folded(words("plan"), plan_svg(plan) + plan_table(plan)))
    if command := record.get("command"):
        copy = html.copy_button(str(command), words("copy"), words("copied"))
        parts.append(html.folded(words("command_line"), html.preformatted(str(command)) + html.row(copy)))
    return html.whole(*parts)
