"""The results of an arena as Markdown and CSV: every method, ours against the best peer, and what calibrates them."""

import csv
import io
from collections.abc import Callable, Sequence

from wan.analysis.pareto import Point, Reached, pareto_front
from wan.instruments.arena.against import MARGIN_DB, MOTION_RANGE, OBEDIENCE_POINTS, Against
from wan.instruments.arena.rows import STEADY, Row
from wan.instruments.arena.suite import RESERVED
from wan.instruments.arena.truth import Floor

Columns = Sequence[tuple[str, Callable[[Row], str]]]
CSV_FIELDS = (
    *("name", "family", "role", "clips", "cost", "time", "seconds", "psnr", "psnr_std", "psnr_worst"),
    *("ssim", "ssim_worst", "motion_ratio", "obedience", "motion_right", "frechet", "error"),
)
_FIDELITY: Columns = (
    ("method", lambda row: row.name),
    ("cost", lambda row: number(row.cost, ".3f")),
    ("time", lambda row: number(row.time, ".2f")),
    ("PSNR dB, mean (std)", lambda row: f"{number(row.psnr, '.1f')} ({number(row.psnr_std, '.1f')})"),
    ("worst", lambda row: number(row.psnr_worst, ".1f")),
    ("SSIM, mean (worst)", lambda row: f"{number(row.ssim, '.3f')} ({number(row.ssim_worst, '.3f')})"),
    ("motion ratio", lambda row: number(row.motion_ratio, ".2f")),
)
_TRUTH: Columns = (
    ("obedience", lambda row: percent(row.obedience)),
    ("motion right", lambda row: percent(row.motion_right)),
    ("Frechet", lambda row: number(row.frechet, ".2f")),
)


def number(value: float | None, form: str) -> str:
    """A number, or a dash for none; an infinite one (equal videos) as 'equal'."""
    if value is None:
        return "-"
    return "equal" if value == float("inf") else f"{value:{form}}"


def percent(value: float | None) -> str:
    """A share as a percentage."""
    return "-" if value is None else f"{100 * value:.0f} %"


def markdown(rows: Sequence[Row], against: Sequence[Against], *, floor: Floor | None) -> str:
    """Every table of an arena."""
    parts = [methods_table(rows)]
    if floor is not None:
        parts.append(
            f"Renders of the same captions against each other (the floor of the Frechet distance): {floor.mean:.2f}, "
            f"at most {floor.largest:.2f}."
        )
    if any(row.clips for row in rows) and all(row.time is None for row in rows):
        parts.append(
            f"Times are left out: the slowest clip of the plain plan took more than {STEADY:g} times as long as its "
            "fastest, so the machine did other work as well."
        )
    if failed := [row for row in rows if row.error]:
        parts.append("\n".join(["Did not run:", "", *(f"- {row.name}: {row.error}" for row in failed)]))
    if against:
        parts.append(against_table(against))
    return "\n\n".join(parts) + "\n"


def methods_table(rows: Sequence[Row]) -> str:
    """A row for every method that ran, by family and cost; the names of those on the Pareto front are bold."""
    ran = [row for row in rows if row.clips]
    columns = (*_FIDELITY, *(_TRUTH if any(row.obedience is not None for row in ran) else ()))
    front = {point.name for point in front_of(ran)}
    families = list(dict.fromkeys(row.family for row in ran))
    ordered = sorted(ran, key=lambda row: (families.index(row.family), -(row.cost or 0.0)))
    lines = [_line([title for title, _ in columns]), _line(["---"] * len(columns))]
    for row in ordered:
        name, *cells = [text(row) for _, text in columns]
        lines.append(_line([f"**{name}**" if row.name in front else name, *cells]))
    return "\n".join(lines)


def front_of(rows: Sequence[Row], quality: str = "psnr") -> list[Point]:
    """The Pareto front over all methods, without the controls."""
    return pareto_front(
        Point(name=row.name, cost=row.cost, quality=getattr(row, quality))
        for row in rows
        if row.cost is not None and row.name not in RESERVED and getattr(row, quality) is not None
    )


def against_table(against: Sequence[Against]) -> str:
    """Ours beside the best peer at the same cost, the difference, and what is missed."""
    low, high = MOTION_RANGE
    lines = [
        f"Ours against the best peer at that cost, on the peer's own sweep. Demanded: {MARGIN_DB:g} dB more in the "
        f"mean, no less in the worst clip, motion ratio {low:g} to {high:g}, obedience at most {OBEDIENCE_POINTS:g} "
        "points below the plain plan's.",
        "",
        _line(
            [
                "method",
                "cost",
                "ours, mean",
                "best peer",
                "difference",
                "ours, worst",
                "best peer",
                "difference",
                "missed",
            ]
        ),
        _line(["---"] * 9),
    ]
    for one in against:
        error = "" if one.mean_error is None else f" ± {one.mean_error:.1f}"
        lines.append(
            _line(
                [
                    one.name,
                    f"{one.cost:.3f}",
                    number(one.mean, ".1f"),
                    peer_text(one.peer),
                    _signed(one.difference) + error,
                    number(one.worst, ".1f"),
                    peer_text(one.worst_peer),
                    _signed(one.worst_difference),
                    ", ".join(one.missed) or "nothing",
                ]
            )
        )
    return "\n".join(lines)


def peer_text(peer: Reached | None) -> str:
    """Its quality, and the settings that it stands between."""
    if peer is None:
        return "none is that cheap"
    between = peer.lower if peer.upper is None else f"{peer.lower} to {peer.upper}"
    return f"{peer.quality:.1f} ({between})"


def as_csv(rows: Sequence[Row]) -> str:
    """One line per method; an empty cell for what is not known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for row in rows:
        writer.writerow(["" if (value := getattr(row, name)) is None else value for name in CSV_FIELDS])
    return out.getvalue()


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
