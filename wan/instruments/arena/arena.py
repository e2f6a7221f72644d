"""One arena from its suite to its folder: every case made or found, then tables, data and the figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.analysis.comparison import finite
from wan.errors import InvalidInput
from wan.instruments.arena.against import against_peers
from wan.instruments.arena.contestants import contestants_for
from wan.instruments.arena.figure import plot_arena
from wan.instruments.arena.rows import Row, make_rows
from wan.instruments.arena.runner import Arena
from wan.instruments.arena.store import canonical, identity_of, open_store
from wan.instruments.arena.suite import Suite
from wan.instruments.arena.tables import as_csv, front_of, markdown
from wan.instruments.arena.truth import Floor, Judge, captions, has_truth
from wan.instruments.flags import Case
from wan.job import Job
from wan.loading.layouts import Checkpoint
from wan.runs import environment_versions, write_json_atomic, write_text_atomic

TABLES, DATA, TABLE, FIGURE = "results.md", "results.json", "results.csv", "arena.png"
NO_TRUTH = (
    "the ground truth of these clips is not known (it is for captions of the demo world at 49 frames of 64x64): "
    "fidelity to the baseline alone is measured"
)


def run_arena(
    suite: Suite,
    job: Job,
    checkpoint: Checkpoint,
    *,
    parent: Path,
    make_missing: bool,
    show_progress: bool,
    say: Callable[[str], None],
) -> Path:
    """Make what is missing, write the results, say the tables; the folder.

    Without ``make_missing`` the results are those of the clips that all methods have made so far.
    """
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
    if make_missing:
        arena.run()
    cases, found = arena.complete()
    if not cases:
        raise InvalidInput(f"no clip in {store.folder} has been made by all methods yet; leave --table_only out")
    shown = [captions()[case.prompt] for case in cases] if with_truth else []
    judge = Judge(shown) if with_truth else None
    rows = make_rows(contestants, found, judge=judge, shown=shown)
    text = _Results(suite, cases, rows, judge.floor() if judge else None).write(store.folder, identity)
    say(f"\n{text}\nresults: {store.folder} ({TABLES}, {TABLE}, {DATA}, {FIGURE})")
    return store.folder


@dataclass(frozen=True, slots=True)
class _Results:
    """What an arena found, and its files."""

    suite: Suite
    cases: Sequence[Case]
    rows: Sequence[Row]
    floor: Floor | None

    def write(self, folder: Path, identity: Mapping[str, Any]) -> str:
        """All files; the tables."""
        against = against_peers(self.rows)
        text = markdown(self.rows, against, floor=self.floor)
        write_text_atomic(folder / TABLES, text)
        write_text_atomic(folder / TABLE, as_csv(self.rows))
        data = {
            "suite": {"name": self.suite.name, **canonical(self.suite.data)},
            "identity": identity,
            "versions": environment_versions(),
            "clips": [canonical(case) for case in self.cases],
            "methods": [row.as_dict() for row in self.rows],
            "pareto_front": {name: canonical(front_of(self.rows, name)) for name in ("psnr", "psnr_worst")},
            "against_peers": [one.as_dict() for one in against],
            "frechet_floor": canonical(self.floor),
        }
        write_json_atomic(folder / DATA, finite(data))
        plot_arena(folder / FIGURE, self.rows, floor=self.floor, title=self._title())
        return text

    def _title(self) -> str:
        clips, asked = len(self.cases), len(self.suite.cases)
        count = f"{clips} clips" if clips == asked else f"{clips} of {asked} clips"
        return f"Arena {self.suite.name}: {count} of {self.suite.task}, quality against cost (bars: ± 1 std)"
