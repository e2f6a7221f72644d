"""The index of a batch, written anew as it goes on: ``batch.json`` for programs and ``index.html`` for people."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from wan.analysis.page import Section, page, paragraph
from wan.analysis.page_text import escaped
from wan.batch.claim_files import RUNNING
from wan.batch.queue import STATES, WAITING, Queue, Status
from wan.batch.results import CANCELLED
from wan.runs.atomic import write_json_atomic, write_text_atomic
from wan.runs.record import FAILED, FINISHED

INDEX_NAME, PAGE_NAME = "batch.json", "index.html"
MOST_LISTED = 10_000
"""Requests that an index names one by one; of a larger batch it has the counts, and what is not done."""
_ORDER = (FAILED, RUNNING, WAITING, CANCELLED, FINISHED)
_SIGNS = {FAILED: ("missed", "✗"), FINISHED: ("met", "✓")}


def write_index(queue: Queue, *, title: str, counts: dict[str, int] | None = None) -> dict[str, int]:
    """Write both files into the folder of the batch; how many requests are in each state. OSError when it fails."""
    counts = counts or queue.counts()
    is_whole = sum(counts.values()) <= MOST_LISTED
    rows = [_row(status) for status in queue.statuses(open_only=not is_whole)]
    content = {"title": title, "counts": counts, "lists_all": is_whole, "requests": rows}
    write_json_atomic(queue.folder / INDEX_NAME, content)
    write_text_atomic(queue.folder / PAGE_NAME, index_page(title, counts, rows, is_whole=is_whole))
    return counts


def index_page(title: str, counts: dict[str, int], rows: Iterable[dict[str, Any]], *, is_whole: bool) -> str:
    """The page: a table for each state that has requests, what went wrong first."""
    by_state: dict[str, list[dict[str, Any]]] = {state: [] for state in _ORDER}
    for row in rows:
        by_state[row["state"]].append(row)
    sections = [
        Section(title=state.capitalize(), remark=f"{len(found):,}", content=_table(found))
        for state, found in by_state.items()
        if found
    ]
    if not is_whole:
        note = f"A batch of more than {MOST_LISTED:,} requests: those of the parts that are done are not listed here."
        sections.insert(0, Section(title="What is listed", content=paragraph(note)))
    total = sum(counts.values())
    summary = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts.get(state))
    return page(title, f"{total:,} requests: {summary}", sections)


def _row(status: Status) -> dict[str, Any]:
    result, entry = status.result, status.entry
    row: dict[str, Any] = {
        "id": status.id,
        "source": entry.source,
        "state": status.state,
        "prompt": entry.prompt,
        "folder": entry.folder,
        "planned_flops": entry.price,
        "worker": status.worker,
    }
    if result is None:
        return row | ({"steps": status.steps} if status.state == RUNNING else {})
    return row | {"file": result.file, "seconds": result.seconds, "attempts": result.attempts, "error": result.error}


def _table(rows: Iterable[dict[str, Any]]) -> str:
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _cells(row))}</tr>" for row in rows)
    head = "".join(f"<th>{name}</th>" for name in ("", "request", "prompt", "result", "seconds"))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></div>'


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name, sign = _SIGNS.get(row["state"], ("open", ""))
    seconds = f"{row['seconds']:.1f}" if row.get("seconds") else ""
    return (
        f'<span class="{name}">{sign} {escaped(row["state"])}</span>',
        escaped(f"{row['id']}, {row['source']}"),
        escaped(row["prompt"]),
        _result(row),
        seconds,
    )


def _result(row: dict[str, Any]) -> str:
    if row.get("file"):
        return _link(row["file"])
    if row.get("error"):
        return escaped(row["error"])
    return escaped(f"after step {row['steps']}, {row['worker']}") if row.get("steps") else ""


def _link(file: str) -> str:
    """A path below the folder of the page; no text of a request can make another address of it."""
    return f'<a href="./{escaped(quote(file))}">{escaped(file)}</a>'
