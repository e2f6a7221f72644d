"""One arena from its suite to its folder: every case made or found, then tables, data and the figure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan.analysis.comparison import finite
from wan.analysis.pareto import Point
from wan.instruments.arena.against import against_peers
from wan.instruments.arena.contestants import contestants_for
from wan.instruments.arena.figure import plot_arena
from wan.instruments.arena.rows import Row, make_rows
from wan.instruments.arena.runner import Arena
from wan.instruments.arena.store import canonical, identity_of, open_store
from wan.instruments.arena.suite import Suite
from wan.instruments.arena.tables import as_csv, front_of, markdown
from wan.instruments.arena.truth import Judge, captions, has_truth
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.runs import environment_versions, write_json_atomic, write_text_atomic

TABLES, DATA, TABLE, FIGURE = "results.md", "results.json", "results.csv", "arena.png"
NO_TRUTH = (
    "the ground truth of these clips is not known (it is for captions of the demo world at 49 frames of 64x64): "
    "fidelity to the baseline alone is measured"
)


def run_arena(
    suite: Suite, job: Job, checkpoint: Checkpoint, *, parent: Path, show_progress: bool, say: Callable[[str], None]
) -> Path:
    """Make what is missing, write the results, say the tables; the folder."""
    contestants = contestants_for(suite, job)
    identity = identity_of(checkpoint, job.request.machine)
    store, sentence = open_store(parent, suite.name, identity=identity, suite=suite.data)
    say(sentence)
    for one in contestants:
        if one.refusal:
            say(f"{one.name} cannot be planned here: {one.refusal}")
    with_truth = has_truth(suite.task, job.geometry, suite.cases)
    if not with_truth:
        say(NO_TRUTH)
    arena = Arena(
        job=job,
        checkpoint=checkpoint,
        contestants=contestants,
        cases=suite.cases,
        store=store,
        with_truth=with_truth,
        show_progress=show_progress,
    )
    found = arena.run()
    shown = [captions()[case.prompt] for case in suite.cases] if with_truth else []
    judge = Judge(shown) if with_truth else None
    rows = make_rows(contestants, found, judge=judge, shown=shown)
    _write(store.folder, suite, identity, rows, judge, say)
    return store.folder


def _write(
    folder: Path,
    suite: Suite,
    identity: dict[str, Any],
    rows: list[Row],
    judge: Judge | None,
    say: Callable[[str], None],
) -> None:
    against, floor = against_peers(rows), judge.floor() if judge else None
    text = markdown(rows, against, floor=floor)
    write_text_atomic(folder / TABLES, text)
    write_text_atomic(folder / TABLE, as_csv(rows))
    data = {
        "suite": {"name": suite.name, **canonical(suite.data)},
        "identity": identity,
        "versions": environment_versions(),
        "clips": [canonical(case) for case in suite.cases],
        "methods": [row.as_dict() for row in rows],
        "pareto_front": {name: _front(rows, name) for name in ("psnr", "psnr_worst")},
        "against_peers": [one.as_dict() for one in against],
        "frechet_floor": canonical(floor),
    }
    write_json_atomic(folder / DATA, finite(data))
    clips = len(suite.cases)
    plot_arena(
        folder / FIGURE,
        rows,
        floor=floor,
        title=f"Arena {suite.name}: {clips} clips of {suite.task}, quality against cost (bars: ± 1 standard deviation over clips)",
    )
    say(f"\n{text}\nresults: {folder} ({TABLES}, {TABLE}, {DATA}, {FIGURE})")


def _front(rows: list[Row], quality: str) -> list[dict[str, Any]]:
    points: list[Point] = front_of(rows, quality)
    return [canonical(point) for point in points]
