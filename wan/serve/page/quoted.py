"""A quote in words and figures: cost, seconds, expected error, notes, the whole plan, and the command line."""

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from wan.configs import WAN_CONFIGS
from wan.errors import WanError
from wan.loading.layouts import known_checkpoint_dir
from wan.loading.vocabulary import read_vocabulary
from wan.prompt_text import clean_prompt
from wan.serve.page import html
from wan.serve.page.budgets import budgets_of
from wan.serve.page.context import Context
from wan.serve.request_fields import request_from
from wan.serve.views import Quote
from wan.shortcuts import Shortcuts

SLOTS = ("prompt", "task", "image", "shape", "shortcuts", "sampling", "other")
"""Where on the form a refusal is shown."""
_SLOT_OF = {
    **dict.fromkeys(("prompt", "negative_prompt"), "prompt"),
    **dict.fromkeys(("task", "ckpt_dir"), "task"),
    "image": "image",
    **dict.fromkeys(("size", "frame_num", "sample_steps", "base_seed", "seed"), "shape"),
    **dict.fromkeys(("sample_solver", "sample_shift", "sample_guide_scale"), "sampling"),
    **dict.fromkeys(("shortcuts", *(one.name for one in fields(Shortcuts))), "shortcuts"),
}


def slot_of(error: Exception) -> str:
    """The place of a refusal: its field's."""
    return _SLOT_OF.get(getattr(error, "field", None) or "", "other")


def quote_html(context: Context, quote: Quote) -> str:
    """What the request would be and cost."""
    words = context.words
    seconds = words("about_seconds", seconds=words.seconds(quote.seconds)) if quote.seconds else "—"
    found = [
        (f"{quote.share:.2f}", words("figure_share")),
        (seconds, words("figure_seconds" if quote.seconds else "figure_seconds_later")),
        (f"{quote.forwards}", words("figure_forwards")),
        (
            words("seconds", seconds=f"{quote.video_seconds:.1f}"),
            words("figure_video", frames=quote.frame_num, size=f"{quote.size[0]}×{quote.size[1]}"),
        ),
    ]
    expected = _expected(context, quote)
    parts = [f"<h2>{words('quote_title')}</h2>", html.figures(found)]
    parts += [html.paragraph(expected)] if expected else []
    if quote.notices:
        parts.append(html.folded(words("notes", count=len(quote.notices)), html.bullets(quote.notices)))
    table = html.folded(words("every_step"), html.preformatted(f"{quote.table}\n\n{quote.price}"))
    return html.whole(*parts, table)


def _expected(context: Context, quote: Quote) -> str:
    """The expected error in the page's language: the calibration's figures where the budget is stored."""
    if quote.expectation is not None and not context.is_calibrated:
        return context.words("error_with_lora")
    if quote.expectation is None:
        return context.words("plain_exact") if quote.share == 1.0 else ""
    for budget in budgets_of(quote.task, context.models.get(quote.task)):
        known = budget.expected
        if known is not None and known.sentence() == quote.expectation:
            return context.words(
                "expected_long",
                psnr=f"{known.psnr:.1f}",
                worst=f"{known.psnr_worst:.1f}",
                motion=f"{known.motion:.2f}",
                clips=known.clips,
            )
    return quote.expectation


def prices_of(context: Context, given: Mapping[str, Any]) -> dict[float, str]:
    """What each budget costs with the form's shape: seconds where they are known, else the forwards."""
    task, found = str(given.get("task", "")), {}
    base = {name: value for name, value in given.items() if name not in ("shortcuts", "prompt", "image")}
    for share in (1.0, *(one.share for one in budgets_of(task, context.models.get(task)))):
        try:
            quote = context.desk.quote({**base, **({} if share == 1.0 else {"shortcuts": {"budget": share}})})
        except (WanError, OSError):
            continue
        if quote.seconds:
            found[share] = context.words("price_seconds", seconds=context.words.seconds(quote.seconds))
        else:
            found[share] = context.words("price_forwards", forwards=quote.forwards)
    return found


def command_html(context: Context, given: Mapping[str, Any]) -> str:
    """The command line that makes the same video."""
    words, settings = context.words, context.desk.settings
    request = request_from({**settings.defaults, **given})
    request = replace(
        request,
        ckpt_dir=context.models.get(request.task or ""),
        weights=settings.weights,
        extension=(settings.extension if request.extension.use_prompt_extend else None) or request.extension,
    )
    line = request.command(seed=request.seed)
    button = html.copy_button(line, words("copy"), words("copied"))
    return html.whole(html.folded(words("command_line"), html.preformatted(line) + html.row(button)))


def unknown_words_note(context: Context, task: str, prompt: str) -> str:
    """The words of a prompt that the demo model does not know, and those that it knows."""
    config = WAN_CONFIGS.get(task)
    folder = known_checkpoint_dir(config, context.models.get(task)) if config else None
    if config is None or folder is None or not config.bundled_checkpoint:
        return ""
    known = read_vocabulary(folder)
    unknown = [word for word in re.findall(r"\w+", clean_prompt(prompt)) if word.lower() not in known]
    if not unknown:
        return ""
    return html.note(context.words("unknown_words", unknown=", ".join(dict.fromkeys(unknown)), known=" ".join(known)))
