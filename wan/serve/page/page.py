"""The page of one language: the five tabs, and what leads from one to another."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from wan.analysis.page_text import escaped
from wan.serve.page import compare_tab, generate_tab, html, queue_tab, runs_tab, watch_tab
from wan.serve.page.acts import Acts
from wan.serve.page.context import COMPARE, GENERATE, QUEUE, RUNS, WATCH, Context
from wan.serve.page.panel import panel
from wan.serve.page.restoring import restored
from wan.serve.page.shown import find
from wan.serve.page.tabs import Tabs
from wan.serve.page.words import LANGUAGES

_KEEP_UPLOADS_SECONDS = 86_400
"""Of the copies that Gradio makes of files which are dropped on the page; a request keeps its own."""
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_OFTEN: dict[str, Any] = {**_QUIET, "concurrency_limit": 8}


def make_page(context: Context) -> gr.Blocks:
    """The page, ready to be mounted."""
    words = context.words
    kept = {"delete_cache": (3600, _KEEP_UPLOADS_SECONDS)}
    with gr.Blocks(title=words("title"), analytics_enabled=False, fill_width=True, **kept) as page:
        panel(_head(context))
        with gr.Tabs(selected=GENERATE, overflow_behavior="wrap") as box:
            with gr.Tab(words("tab_generate"), id=GENERATE) as first:
                generate = generate_tab.build(context)
            with gr.Tab(words("tab_watch"), id=WATCH) as second:
                watch = watch_tab.build(context)
            with gr.Tab(words("tab_queue"), id=QUEUE) as third:
                queue = queue_tab.build(context)
            with gr.Tab(words("tab_compare"), id=COMPARE) as fourth:
                compare = compare_tab.build(context)
            with gr.Tab(words("tab_runs"), id=RUNS) as fifth:
                runs = runs_tab.build(context)
        tabs = Tabs(box=box, generate=generate, watch=watch, queue=queue, compare=compare, runs=runs)
        generate_tab.wire(context, generate, tabs=box, watched=watch.watched, starts=[page.load, first.select])
        _wire_watch(context, tabs, second)
        _wire_lists(context, tabs, third, fifth)
        _wire_compare(context, tabs, fourth)
        _wire_timers(tabs, [first, second, third, fourth, fifth])
        _wire_buttons(Acts(context, tabs))
        _wire_start(context, tabs, page)
    return page


def _head(context: Context) -> str:
    words = context.words
    other = LANGUAGES[1 - words.place]
    return html.whole(
        f"<h1>{escaped(words('title'))}</h1>{html.paragraph(words('subtitle'))}"
        f'<a href="../{other}/" hreflang="{other}" lang="{other}" data-language>{escaped(words("other_language"))}</a>',
        kind="wan-head",
    )


def _wire_watch(context: Context, tabs: Tabs, tab: Any) -> None:
    watch = tabs.watch
    parts = [watch.screen, watch.progress, watch.details]

    def look(name: str | None) -> Sequence[Any]:
        return watch_tab.look(context, name)

    def opened(name: str | None) -> list[Any]:
        """The newest run where none is chosen; a choice is left alone, as another may be made meanwhile."""
        newest = None if name else watch_tab.newest(context)
        chosen = {"value": newest} if newest else {}
        return [gr.update(choices=watch_tab.choices(context), **chosen), *look(name or newest)]

    watch.timer.tick(look, watch.watched, parts, **_OFTEN)
    watch.watched.change(look, watch.watched, parts, **_OFTEN)
    tab.select(opened, watch.watched, [watch.watched, *parts], **_OFTEN)


def _wire_lists(context: Context, tabs: Tabs, queue_item: Any, runs_item: Any) -> None:
    queue, runs = tabs.queue, tabs.runs

    def look_queue() -> str:
        return queue_tab.look(context)

    def look_runs(search: str) -> str:
        return runs_tab.look(context, search)

    for event in (queue.timer.tick, queue_item.select):
        event(look_queue, None, queue.listing, **_OFTEN)
    for event in (runs.timer.tick, runs_item.select):
        event(look_runs, runs.search, runs.listing, **_OFTEN)
    # what is typed while an answer is on its way is asked for after it
    runs.search.input(look_runs, runs.search, runs.listing, trigger_mode="always_last", **_OFTEN)

    generate = tabs.generate

    def restore(path: str | None) -> list[Any]:
        return restored(context, generate.form, path)

    runs.drop.upload(
        restore, runs.drop, [*generate.form.inputs(), generate.said, tabs.box], api_visibility="private"
    ).then(lambda: None, None, runs.drop, **_QUIET)


def _wire_compare(context: Context, tabs: Tabs, tab: Any) -> None:
    compare = tabs.compare
    inputs, outputs = [compare.baseline, compare.method, compare.asked, compare.seen], [compare.result, compare.seen]

    def look(baseline: str | None, method: str | None, asked: Any, seen: str) -> list[Any]:
        return compare_tab.look(context, baseline, method, asked, seen)

    def opened(*values: Any) -> list[Any]:
        found = gr.update(choices=compare_tab.choices(context, *values[:2]))
        return [found, found, *look(*values)]

    compare.timer.tick(look, inputs, outputs, **_OFTEN)
    gr.on([compare.baseline.change, compare.method.change], look, inputs, outputs, **_OFTEN)
    tab.select(opened, inputs, [compare.baseline, compare.method, *outputs], **_OFTEN)
    compare.button.click(lambda *pair: pair, [compare.baseline, compare.method], compare.asked, **_QUIET).then(
        look, inputs, outputs, **_OFTEN
    )


def _wire_timers(tabs: Tabs, items: list[Any]) -> None:
    """Only the tab that is seen asks the server again and again. The browser decides it: the answers to two changes of
    the tab could come in the other order, and the tab that is seen would stand still."""
    timers = [tabs.watch.timer, tabs.queue.timer, tabs.compare.timer, tabs.runs.timer]
    for number, item in enumerate(items):
        running = [{"active": number == place, "__type__": "update"} for place in range(1, len(items))]
        item.select(None, None, timers, js=f"() => {json.dumps(running)}", **_QUIET)


def _wire_buttons(acts: Acts) -> None:
    tabs = acts.tabs
    lists = [
        (tabs.watch.progress, tabs.watch.said),
        (tabs.queue.listing, tabs.queue.said),
        (tabs.runs.listing, tabs.runs.said),
        (tabs.compare.result, tabs.watch.said),
    ]
    for listing, said in lists:
        # a press counts also while another one is answered: decoding takes its time
        listing.click(_pressing(acts, said), None, acts.outputs(said), trigger_mode="multiple", **_OFTEN)


def _pressing(acts: Acts, said: Any) -> Callable[[gr.EventData], Iterator[dict[Any, Any]]]:
    def press(event: gr.EventData) -> Iterator[dict[Any, Any]]:
        if str(event.act) == "decode":
            yield {said: html.note(acts.context.words("decoding"))}
        yield acts.press(str(event.act), str(event.name), said)

    return press


def _wire_start(context: Context, tabs: Tabs, page: gr.Blocks) -> None:
    """The run that the address names is seen first."""

    def begin(request: gr.Request) -> list[Any]:
        name = str(request.query_params.get("run", ""))
        if not name or find(context.desk, name) is None:
            return [gr.skip(), gr.skip()]
        return [gr.update(selected=WATCH), name]

    page.load(begin, None, [tabs.box, tabs.watch.watched], **_QUIET)
