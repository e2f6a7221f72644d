"""The tab *Runs*: a gallery of all run folders with a search, and a place to drop a file whose settings to restore."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from wan.analysis.page_text import escaped
from wan.serve.page import html
from wan.serve.page.context import Context
from wan.serve.page.media import on_card
from wan.serve.page.panel import panel
from wan.serve.page.shown import Shown, of_entry, of_run
from wan.serve.page.watch_tab import resume_label
from wan.serve.views import Entry, Run

_MOST = 60


@dataclass(frozen=True, slots=True)
class RunsTab:
    """``listing`` is the gallery with its buttons."""

    search: Any
    drop: Any
    listing: Any
    said: Any
    timer: Any


def build(context: Context) -> RunsTab:
    words = context.words
    with gr.Row(equal_height=False):
        search = gr.Textbox(
            "", label=words("search"), placeholder=words("search_hint"), scale=3, min_width=260, elem_id="search"
        )
        drop = gr.File(
            label=words("drop"), file_types=[".mp4", ".png"], height=160, scale=2, min_width=260, elem_id="drop-runs"
        )
    said = panel()
    listing = panel(name="runs")
    return RunsTab(search=search, drop=drop, listing=listing, said=said, timer=gr.Timer(4.0, active=False))


def look(context: Context, search: str) -> str:
    """The gallery as it is now, of the runs that have every word of ``search``."""
    words, runs = context.words, context.desk.runs()
    if not runs:
        return html.whole(html.paragraph(words("runs_empty"), "empty"))
    wanted = (search or "").lower().split()
    found = [run for run in runs if all(word in _searched(run) for word in wanted)]
    if not found:
        return html.whole(html.paragraph(words("runs_none", search=search), "empty"))
    entries = {entry.run_folder: entry for entry in context.desk.entries()}
    shown = [_shown(context, run, entries.get(run.folder)) for run in found[:_MOST]]
    cards = "".join(_card(context, run) for run in shown)
    more = html.paragraph(words("runs_more", count=len(found) - _MOST), "quiet") if len(found) > _MOST else ""
    return html.whole(
        html.paragraph(words("runs_count", count=len(found)), "quiet"), f'<div class="gallery">{cards}</div>', more
    )


def _shown(context: Context, run: Run, entry: Entry | None) -> Shown:
    return of_run(context.folder, run) if entry is None else of_entry(context.folder, entry)


def _searched(run: Run) -> str:
    return " ".join((run.prompt, run.task, run.status, run.shortcuts, f"seed {run.seed}", run.folder.name)).lower()


def _card(context: Context, run: Shown) -> str:
    words = context.words
    label = context.cost_label(run.shortcuts)
    found = [html.button("watch", run.name, words("open")), html.button("reuse", run.name, words("reuse_short"))]
    if run.is_finished:
        found.append(html.button("compare", run.name, words("compare")))
    elif run.can_go_on:
        found.append(html.button("resume", run.name, resume_label(context, run)))
    if run.is_over and not run.is_finished and run.has_latents:
        found.append(html.button("decode", run.name, words("decode_short")))
    return (
        f'<article class="card"><div class="screen">{on_card(context, run)}</div><div class="text">'
        f'<div class="title">{escaped(run.prompt)}</div>'
        f'<div>{html.badge(run.state, words.state(run.state))} <span class="quiet">{escaped(run.task)}, '
        f'{escaped(words("seed_short", seed=run.seed))}</span></div><div class="quiet">{escaped(label)}</div>'
        f'<div class="row">{"".join(found)}</div></div></article>'
    )
