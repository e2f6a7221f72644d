"""A comparison as HTML: the verdict, players that run together, their difference, curves over the frames, measures."""

from collections.abc import Mapping, Sequence
from typing import Any

from wan.analysis.comparison import MOTION_FACTOR, PSNR_THRESHOLD, SSIM_THRESHOLDS
from wan.analysis.comparison_files import CONTACT_SHEET, REPORT_NAME, SIDE_BY_SIDE
from wan.analysis.measures import MEASURES
from wan.analysis.page_text import escaped
from wan.analysis.pictures import GAIN
from wan.serve.page import html
from wan.serve.page.comparisons import FOLDER
from wan.serve.page.context import Context
from wan.serve.page.curves import curve
from wan.serve.page.media import PIXELS_UP_TO, size_of
from wan.serve.page.shown import Shown

_HEADLINES = {
    "psnr": "head_psnr",
    "ssim": "head_ssim",
    "motion_ratio": "head_motion",
    "flops_fraction": "head_cost",
    "speed_up": "head_speed",
}
_MARKS = {True: ("good", "✓"), False: ("bad", "✗"), None: ("open", "?")}
_SPEEDS, _GAINS = ("0.25", "0.5", "1"), (1, 4, 16)


def comparison_html(context: Context, data: Mapping[str, Any], baseline: Shown, method: Shown) -> str:
    """Everything about one pair; a sentence where the file says something else."""
    try:
        measures = {name: float(value) for name, value in data["result"]["measures"].items()}
        parts = [_verdict(context, data, measures), _duo(context, data, baseline, method)]
        parts.append(_measures(context, measures))
    except (KeyError, TypeError, ValueError, AttributeError):
        return html.fault(context.words("compare_damaged"))
    return html.whole(*parts, _files(context, baseline, method))


def _verdict(context: Context, data: Mapping[str, Any], measures: Mapping[str, float]) -> str:
    words, found = context.words, data["verdicts"]
    judged = [one for one in found if one["met"] is not None]
    is_kept = bool(judged) and all(one["met"] for one in judged)
    if measures["psnr"] == float("inf"):
        headline = words("verdict_equal")
    else:
        headline = words("verdict_kept" if is_kept else "verdict_changed")
    rows = [(MEASURES[name].text(measures[name]), words(key)) for name, key in _HEADLINES.items()]
    rules = "".join(_rule(context, one) for one in found)
    notes = html.bullets(data.get("notices", ()))
    kind = "good" if is_kept else "bad"
    return (
        f'<h2><span class="{kind}">{_MARKS[is_kept][1]}</span> {escaped(headline)}</h2>{html.figures(rows)}{notes}'
        f"{html.folded(words('rules', met=sum(bool(one['met']) for one in judged), count=len(judged)), rules)}"
    )


def _rule(context: Context, verdict: Mapping[str, Any]) -> str:
    kind, sign = _MARKS[verdict["met"]]
    rule = rule_in(context.words.language, str(verdict["rule"]))
    return f'<p><span class="{kind}">{sign}</span> {escaped(rule)}: {escaped(str(verdict["measured"]))}</p>'


def rule_in(language: str, rule: str) -> str:
    """A rule of ``wan.analysis.comparison.verdicts`` in a language; as it is where nobody has translated it."""
    if language != "zh":
        return rule
    known = {f"PSNR > {PSNR_THRESHOLD:g} dB": f"PSNR 大于 {PSNR_THRESHOLD:g} dB"}
    known |= {f"SSIM > {threshold:g}": f"SSIM 大于 {threshold:g}" for threshold in SSIM_THRESHOLDS}
    known[f"motion within a factor of {MOTION_FACTOR:g} of the baseline's"] = (
        f"运动量与基线相差不超过 {MOTION_FACTOR:g} 倍"
    )
    starts = {
        "at least 1 dB better than another seed": "比同一提示词的另一个种子至少好 1 dB（否则与基线毫无共同之处）",
        "better than fewer plain steps": "优于同样代价下步数较少的普通运行",
    }
    return known.get(rule) or next((said for start, said in starts.items() if rule.startswith(start)), rule)


def _duo(context: Context, data: Mapping[str, Any], baseline: Shown, method: Shown) -> str:
    words, (width, height) = context.words, size_of(method)
    frames = len(data["result"]["psnr_per_frame"])
    fps = int(method.record.get("settings", {}).get("fps", 16))
    pixels = ' class="pixels"' if width <= PIXELS_UP_TO else ""
    videos = "".join(
        f'<figure><figcaption>{escaped(label)}</figcaption><div class="screen"><video muted playsinline '
        f'preload="auto" aria-label="{escaped(label)}"{pixels} src="{_video(run)}"></video></div></figure>'
        for label, run in ((words("player_baseline"), baseline), (_method_label(context, method), method))
    )
    difference = escaped(words("player_difference"))
    canvas = (
        f'<figure><figcaption>{difference}</figcaption><div class="screen"><canvas role="img" '
        f'aria-label="{difference}"{pixels} style="filter: brightness({GAIN:g})"></canvas></div></figure>'
    )
    return (
        f'<div class="duo-box" data-own="{escaped(f"{baseline.name} {method.name}")}" data-fps="{fps}" '
        f'data-frames="{frames}" tabindex="0" role="group" '
        f'aria-label="{escaped(words("players"))}" style="--ratio: {max(1, width)} / {max(1, height)}">'
        f'<div class="duo">{videos}{canvas}</div>{_controls(context, frames)}{_curves(context, data)}</div>'
    )


def _video(run: Shown) -> str:
    assert run.file is not None
    return html.address(run.name, run.file.name)


def _method_label(context: Context, method: Shown) -> str:
    return context.words("player_method", shortcuts=context.cost_label(method.shortcuts))


def _controls(context: Context, frames: int) -> str:
    words = context.words
    speeds = "".join(f'<option value="{one}"{" selected" if one == "1" else ""}>{one}×</option>' for one in _SPEEDS)
    gains = "".join(f'<option value="{one}"{" selected" if one == GAIN else ""}>×{one}</option>' for one in _GAINS)
    return (
        f'<div class="controls"><button type="button" data-play="{escaped(words("play"))}" '
        f'data-pause="{escaped(words("pause"))}">{escaped(words("play"))}</button>'
        f'<button type="button" data-step="-1" aria-label="{escaped(words("frame_back"))}">◀</button>'
        f'<button type="button" data-step="1" aria-label="{escaped(words("frame_on"))}">▶</button>'
        f'<input type="range" data-seek min="0" max="{frames - 1}" value="0" aria-label="{escaped(words("frame"))}">'
        f"<output>1 / {frames}</output>"
        f"<label>{escaped(words('speed'))} <select data-speed>{speeds}</select></label>"
        f"<label>{escaped(words('gain'))} <select data-gain>{gains}</select></label></div>"
    )


def _curves(context: Context, data: Mapping[str, Any]) -> str:
    words, result, curves = context.words, data["result"], data["curves"]
    axis, method, baseline = words("axis_frame"), words("curve_method"), words("curve_baseline")
    drawn = (
        curve(
            words("curve_psnr"),
            {method: _floats(result["psnr_per_frame"])},
            axis=axis,
            unit="dB",
            limits=[PSNR_THRESHOLD],
        ),
        curve(words("curve_ssim"), {method: _floats(result["ssim_per_frame"])}, axis=axis, limits=[SSIM_THRESHOLDS[0]]),
        curve(words("curve_motion"), _both(curves["motion"], method, baseline), axis=axis, from_zero=True),
        curve(
            words("curve_continuity"),
            _both(curves["continuity"], method, baseline),
            axis=words("axis_latent"),
            from_zero=True,
        ),
    )
    return f'<div class="curves">{"".join(drawn)}</div>'


def _both(found: Mapping[str, Any], method: str, baseline: str) -> dict[str, list[float]]:
    return {method: _floats(found["method"]), baseline: _floats(found["baseline"])}


def _floats(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]


def _measures(context: Context, measures: Mapping[str, float]) -> str:
    words = context.words
    rows = [
        [row.label[words.place], row.text(measures[name]), row.formula]
        for name, row in MEASURES.items()
        if name in measures
    ]
    header = [words("measure"), words("value"), words("formula")]
    return html.folded(words("all_measures"), html.table(header, rows))


def _files(context: Context, baseline: Shown, method: Shown) -> str:
    words, place = context.words, context.comparisons.place(baseline.name, method.name).name
    names = {SIDE_BY_SIDE: "file_side", CONTACT_SHEET: "file_sheet", REPORT_NAME: "file_report"}
    links = [
        f'<a class="button" href="{html.address(f"{FOLDER}/{place}", name)}" target="_blank">{escaped(words(key))}</a>'
        for name, key in names.items()
    ]
    return html.row(
        *links,
        html.button("watch", baseline.name, words("open_baseline")),
        html.button("watch", method.name, words("open_method")),
    )
