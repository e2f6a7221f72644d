"""One run as the tabs show it, whether it is a request of this service or a folder that the command line made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.runs import LATENTS_NAME, load_record
from wan.serve.desk import Desk
from wan.serve.views import Entry, Run
from wan.shortcuts import shortcut_label


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """``name``: its folder, from the output folder on. ``entry``: its request, None for a run that the command line
    made. ``state`` is one of the queue's, or of ``run.json``; ``record`` what that says, empty before it has begun.
    """

    name: str
    folder: Path
    entry: Entry | None
    state: str
    task: str
    prompt: str
    seed: int
    file: Path | None
    preview: Path | None
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.entry.is_over if self.entry else self.state != "running"

    @property
    def is_finished(self) -> bool:
        return self.state == "finished" and self.file is not None

    @property
    def can_go_on(self) -> bool:
        """Whether it has ended, or was left by the command line, without its video."""
        return self.entry.state in ("failed", "cancelled") if self.entry else self.state != "finished"

    @property
    def is_plain(self) -> bool:
        """Whether no shortcut is on, as far as the record says."""
        return self.shortcuts == "none"

    @property
    def shortcuts(self) -> str:
        """The label that results give the shortcuts."""
        settings = self.record.get("settings") or (self.entry.settings if self.entry else {})
        return shortcut_label({**settings, **settings.get("shortcuts", {})})

    @property
    def error(self) -> str:
        """Why it failed; the sentence names the run's own folder by its name alone."""
        sentence = (self.entry.error if self.entry else "") or str(self.record.get("error", ""))
        return sentence.replace(str(self.folder), self.folder.name)

    @property
    def notices(self) -> tuple[str, ...]:
        found = (*(self.entry.notices if self.entry else ()), *self.record.get("adjustments", ()))
        return tuple(dict.fromkeys(map(str, found)))

    @property
    def has_latents(self) -> bool:
        """Whether there is something to decode: of the end, or of the step at which it stopped."""
        kept = self.record.get("outputs", {}).get("partial_latents")
        return kept is not None or (self.folder / LATENTS_NAME).is_file()


def find(desk: Desk, name: str) -> Shown | None:
    """The run of a folder with that name; None when there is none."""
    root = desk.settings.folder
    for entry in desk.entries():
        if name_of(root, entry.run_folder) == name:
            return of_entry(root, entry)
    return next((of_run(root, run) for run in desk.runs() if name_of(root, run.folder) == name), None)


def name_of(root: Path, folder: Path) -> str:
    """What the page calls a run: its folder from the output folder on, with slashes."""
    return folder.relative_to(root).as_posix()


def of_entry(root: Path, entry: Entry) -> Shown:
    """A request of the service; ``root`` is the output folder."""
    return _shown(root, entry.run_folder, entry.state, entry, entry=entry)


def of_run(root: Path, run: Run) -> Shown:
    """A run folder; ``root`` is the output folder."""
    return _shown(root, run.folder, run.status, run)


def _shown(root: Path, folder: Path, state: str, said: Entry | Run, *, entry: Entry | None = None) -> Shown:
    return Shown(
        name=name_of(root, folder),
        folder=folder,
        entry=entry,
        state=state,
        task=said.task,
        prompt=said.prompt,
        seed=said.seed,
        file=said.file,
        preview=said.preview,
        record=_record(folder),
    )


def _record(folder: Path) -> dict[str, Any]:
    try:
        return load_record(folder)
    except (InvalidInput, OSError):
        return {}
