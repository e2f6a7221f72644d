"""The tab *Compare*: two runs of the same prompt side by side, in step, with what ``wan compare`` finds of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from wan.analysis.page_text import escaped
from wan.errors import WanError
from wan.serve.page import html
from wan.serve.page.context import Context
from wan.serve.page.panel import panel
from wan.serve.page.partners import finished
from wan.serve.page.shown import Shown, find

_LISTED = 60
_COMPARING = "comparing"

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class CompareTab:
    """``baseline`` and ``method`` hold names of folders; ``asked`` the pair that is to be compared once both are
    finished; ``seen`` what the result showed last."""

    baseline: Any
    method: Any
    button: Any
    result: Any
    asked: Any
    seen: Any
    timer: Any


def build(context: Context) -> CompareTab:
    words = context.words
    panel(html.whole(html.paragraph(words("compare_info"), "quiet")))
    with gr.Row(equal_height=True):
        baseline = gr.Dropdown([], label=words("baseline"), allow_custom_value=True, scale=3, min_width=240)
        method = gr.Dropdown([], label=words("method"), allow_custom_value=True, scale=3, min_width=240)
        button = gr.Button(words("compare"), variant="primary", scale=1, min_width=120, elem_id="compare")
    return CompareTab(
        baseline=baseline,
        method=method,
        button=button,
        result=panel(name="comparison"),
        asked=gr.State(("", "")),
        seen=gr.State(""),
        timer=gr.Timer(1.0, active=False),
    )


def choices(context: Context, *chosen: str | None) -> list[tuple[str, str]]:
    """The finished runs that can be compared and those that are ``chosen`` already, (label, name of the folder)."""
    shown = list(finished(context.desk))[:_LISTED]
    names = {run.name for run in shown}
    others = (find(context.desk, name) for name in dict.fromkeys(chosen) if name and name not in names)
    return [(_label(context, run), run.name) for run in (*(one for one in others if one is not None), *shown)]


def _label(context: Context, run: Shown) -> str:
    words = context.words
    kind = context.cost_label(run.shortcuts)
    return f"{run.prompt[:60]} · {kind} · {words('seed_short', seed=run.seed)}"


def look(context: Context, baseline: str | None, method: str | None, asked: Pair, seen: str) -> list[Any]:
    """The result, left alone when nothing has changed, and what it is now. A comparison that is asked for is said to be
    made first, and made when this is called the next time."""
    pair = (baseline or "", method or "")
    if all(pair) and pair[0] != pair[1] and context.comparisons.find(*pair) is None and seen == _key(pair, _COMPARING):
        now = _made(context, pair)
        return [now, now]
    now = _result(context, pair, is_asked=tuple(asked) == pair)
    shown = context.words("comparing") if now == _key(pair, _COMPARING) else None
    html_now = html.whole(f'<p class="note" role="status">{escaped(shown)}</p>') if shown else now
    return [gr.skip() if now == seen else html_now, now]


def _result(context: Context, pair: Pair, *, is_asked: bool) -> str:
    words = context.words
    if not all(pair):
        return html.whole(html.paragraph(words("compare_choose"), "empty"))
    if pair[0] == pair[1]:
        return html.fault(words("compare_same"))
    runs = [find(context.desk, name) for name in pair]
    for name, run in zip(pair, runs, strict=True):
        if run is None:
            return html.fault(words("no_such_run", name=name))
    baseline, method = (run for run in runs if run is not None)
    if not (baseline.is_finished and method.is_finished):
        return _waiting(context, [run for run in (baseline, method) if not run.is_finished])
    found = context.comparisons.find(*pair)
    if found is not None:
        return _shown(context, found, baseline, method)
    return _key(pair, _COMPARING) if is_asked else html.whole(html.paragraph(words("compare_press"), "empty"))


def _made(context: Context, pair: Pair) -> str:
    try:
        found = context.comparisons.make(*pair)
    except WanError as error:
        return html.fault(str(error))
    runs = [find(context.desk, name) for name in pair]
    if runs[0] is None or runs[1] is None:
        return html.fault(context.words("no_such_run", name=pair[0] if runs[0] is None else pair[1]))
    return _shown(context, found, runs[0], runs[1])


def _shown(context: Context, found: Mapping[str, Any], baseline: Shown, method: Shown) -> str:
    from wan.serve.page.compared import comparison_html  # the measures take a second to import

    return comparison_html(context, found, baseline, method)


def _waiting(context: Context, runs: list[Shown]) -> str:
    words, parts = context.words, [html.paragraph(context.words("compare_waits"), "note")]
    for run in runs:
        entry = run.entry
        line = f"{run.prompt}: {words.state(run.state)}"
        if entry is not None and entry.state == "running":
            line += f", {words('step_short', step=entry.step, steps=entry.steps)}"
            if entry.eta_seconds is not None:
                line += f", {words('left', seconds=words.seconds(entry.eta_seconds))}"
        parts.append(html.paragraph(line))
        progress = entry.progress if entry else 0.0
        label = escaped(words("progress"))
        parts.append(f'<progress max="1" value="{progress:.3f}" aria-label="{label}"></progress>')
        if run.is_over:
            parts.append(html.fault(run.error or words("compare_never")))
            parts.append(html.row(html.button("watch", run.name, words("watch"))))
    return html.whole(*parts)


def _key(pair: Pair, kind: str) -> str:
    return f"{kind} {pair[0]} {pair[1]}"
