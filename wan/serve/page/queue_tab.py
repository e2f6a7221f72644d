"""The tab *Queue*: every request in its order, with what can be done with it."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from wan.analysis.page_text import escaped
from wan.serve.page import html
from wan.serve.page.context import Context
from wan.serve.page.panel import panel
from wan.serve.page.shown import name_of
from wan.serve.views import Entry

_ENDED_LISTED = 20


@dataclass(frozen=True, slots=True)
class QueueTab:
    """``listing`` is the list with its buttons."""

    listing: Any
    said: Any
    timer: Any


def build(context: Context) -> QueueTab:
    said = panel()
    return QueueTab(listing=panel(name="queue"), said=said, timer=gr.Timer(1.0, active=False))


def look(context: Context) -> str:
    """The list as it is now."""
    words, entries = context.words, context.desk.entries()
    if not entries:
        return html.whole(html.paragraph(words("queue_empty"), "empty"))
    alive, wanted = context.desk.workers()
    head = [html.paragraph(words("queue_head", **context.desk.counts()))]
    if alive < wanted:
        head.append(f'<p class="note" role="status">{escaped(words("workers_down", alive=alive, wanted=wanted))}</p>')
    running = [entry for entry in entries if entry.state == "running"]
    waiting = sorted((entry for entry in entries if entry.state == "waiting"), key=lambda one: one.position or 0)
    ended = [entry for entry in entries if entry.is_over]
    to_come = [_entry(context, entry, can_move=entry in waiting[1:]) for entry in [*running, *waiting]]
    parts = [*head, _part(words("now_and_next"), to_come, words("nothing_waits"))]
    parts.append(_part(words("ended"), [_entry(context, entry) for entry in ended[:_ENDED_LISTED]], ""))
    return html.whole(*parts)


def _part(title: str, rows: list[str], empty: str) -> str:
    if not rows:
        return f"<h3>{escaped(title)}</h3>{html.paragraph(empty, 'quiet')}" if empty else ""
    return f'<h3>{escaped(title)}</h3><div class="entries">{"".join(rows)}</div>'


def _buttons(context: Context, entry: Entry, name: str, *, can_move: bool) -> str:
    words = context.words
    found = [html.button("watch", name, words("watch"))]
    if can_move:
        found.append(html.button("prefer", name, words("prefer")))
    if entry.state == "waiting" and entry.settings:  # what wan batch has put here has none that the form could show
        found.append(html.button("edit", name, words("edit")))
    if not entry.is_over:
        found.append(html.button("cancel", name, words("cancel")))
    elif entry.state != "finished":
        found.append(html.button("resume", name, words("resume" if entry.step else "retry")))
    if entry.is_over:
        found.append(html.button("delete", name, words("delete"), confirm=words("delete_really")))
    return html.row(*found)


def _entry(context: Context, entry: Entry, *, can_move: bool = False) -> str:
    """One request; ``can_move``: it waits behind another one, before which it can be put."""
    words, name = context.words, name_of(context.folder, entry.run_folder)
    error = "" if entry.state == "cancelled" else entry.error.replace(str(entry.run_folder), name)
    place = "" if entry.position is None else f"{entry.position + 1}. "
    return (
        f'<div class="entry" data-key="{escaped(f"entry {name}")}">'
        f'<div><div class="title">{escaped(place + entry.prompt)}</div>'
        f"{html.badge(entry.state, words.state(entry.state))} "
        f'<span class="quiet">{escaped(_facts(context, entry))}</span>'
        f"{_bar(context, entry)}{html.paragraph(error, 'bad') if error else ''}</div>"
        f"{_buttons(context, entry, name, can_move=can_move)}</div>"
    )


def _facts(context: Context, entry: Entry) -> str:
    words = context.words
    size = f"{entry.size[0]}×{entry.size[1]}"
    found = [
        entry.task,
        f"{size}, {words('count_frames', count=entry.frame_num)}",
        words("cost", share=f"{entry.share:.2f}"),
    ]
    if entry.state == "running":
        at_step = words("step_short", step=entry.step, steps=entry.steps)
        found.append(at_step if entry.step < entry.steps else words("decoding_short"))
    if entry.eta_seconds is not None and not entry.is_over:
        found.append(words("left", seconds=words.seconds(entry.eta_seconds)))
    return " · ".join(found)


def _bar(context: Context, entry: Entry) -> str:
    if entry.state != "running":
        return ""
    label = escaped(context.words("progress"))
    return f'<progress max="1" value="{entry.progress:.3f}" aria-label="{label}"></progress>'
