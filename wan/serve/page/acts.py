"""What the buttons of the lists do, on whichever tab they stand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from wan.errors import WanError
from wan.serve.page import html
from wan.serve.page.compare_tab import choices
from wan.serve.page.comparisons import command
from wan.serve.page.context import COMPARE, WATCH, Context
from wan.serve.page.partners import make_partner, pair_of
from wan.serve.page.queue_tab import look
from wan.serve.page.restoring import reused
from wan.serve.page.shown import Shown, find
from wan.serve.page.tabs import Tabs

Updates = dict[Any, Any]
_SAID = 70
"""Characters of a prompt that stand in a sentence."""


@dataclass(frozen=True, slots=True)
class Acts:
    """``said`` is where a tab says what came of a press."""

    context: Context
    tabs: Tabs

    def outputs(self, said: Any) -> list[Any]:
        """Everything that a press may change."""
        tabs = self.tabs
        generate, compare = tabs.generate, tabs.compare
        return [
            *generate.form.inputs(),
            *(generate.told, tabs.box, tabs.watch.watched, tabs.queue.listing, compare.baseline, compare.method),
            *(compare.asked, said),
        ]

    def press(self, act: str, name: str, said: Any) -> Updates:
        """Do what a button says with the run of that name; the updates of components."""
        run = find(self.context.desk, name)
        if run is None:
            return {said: html.fault(self.context.words("no_such_run", name=name))}
        known: dict[str, Callable[[Shown, Any], Updates]] = {
            "watch": self._watch,
            "cancel": self._cancel,
            "resume": self._resume,
            "prefer": self._prefer,
            "edit": self._edit,
            "delete": self._delete,
            "decode": self._decode,
            "reuse": self._reuse,
            "compare": self._compare,
            "partner": self._compare,
        }
        if act not in known:
            return {said: ""}
        try:
            return {said: "", **known[act](run, said)}
        except (WanError, OSError) as error:
            return {said: html.fault(str(error))}

    def _watch(self, run: Shown, said: Any) -> Updates:
        return {self.tabs.box: gr.update(selected=WATCH), self.tabs.watch.watched: run.name}

    def _cancel(self, run: Shown, said: Any) -> Updates:
        if run.entry is not None:
            self.context.desk.cancel(run.entry.id)
        return {said: html.note(self.context.words("said_cancelled"))}

    def _resume(self, run: Shown, said: Any) -> Updates:
        if run.entry is not None:
            self.context.desk.resume(run.entry.id)
        else:
            self.context.desk.adopt(run.folder)
        return {said: html.note(self.context.words("said_resumed"))}

    def _prefer(self, run: Shown, said: Any) -> Updates:
        words, listing = self.context.words, self.tabs.queue.listing
        after = None if run.entry is None else self.context.desk.prefer(run.entry.id)
        waits = after is not None and after.state == "waiting"
        sentence = words("said_next", prompt=run.prompt[:_SAID]) if waits else words("waits_no_more")
        return {said: html.note(sentence), listing: look(self.context)}

    def _edit(self, run: Shown, said: Any) -> Updates:
        """A request that waits leaves the queue when its settings are in the form; one that does not wait stays."""
        words = self.context.words
        if run.entry is None or run.entry.state != "waiting":
            return {said: html.note(words("waits_no_more"))}
        found = self._filled(run, words("said_edited"))
        self.context.desk.cancel(run.entry.id)
        return found

    def _delete(self, run: Shown, said: Any) -> Updates:
        if run.entry is not None:
            self.context.desk.delete(run.entry.id)
        return {said: html.note(self.context.words("said_deleted")), self.tabs.watch.watched: None}

    def _decode(self, run: Shown, said: Any) -> Updates:
        command("decode", str(run.folder), "--overwrite", *self.context.comparisons.where)
        return {
            said: html.note(self.context.words("said_decoded")),
            **self._watch(run, said),
        }

    def _reuse(self, run: Shown, said: Any) -> Updates:
        return self._filled(run, self.context.words("reused", name=run.name))

    def _filled(self, run: Shown, said: str) -> Updates:
        """The form with the settings of a run, and beside it the sentence ``said``."""
        generate = self.tabs.generate
        *form, sentence, box = reused(self.context, generate.form, run, said=said)
        return {**dict(zip(generate.form.inputs(), form, strict=True)), generate.told: sentence, self.tabs.box: box}

    def _compare(self, run: Shown, said: Any) -> Updates:
        words = self.context.words
        pair = (
            pair_of(run, self.context.desk) or make_partner(run, self.context.desk, refusal=words("other_weights"))[0]
        )
        compare, listed = self.tabs.compare, choices(self.context, *pair)
        return {
            compare.baseline: gr.update(value=pair[0], choices=listed),
            compare.method: gr.update(value=pair[1], choices=listed),
            compare.asked: pair,
            self.tabs.box: gr.update(selected=COMPARE),
        }
