"""The run folders below an output folder, whoever made them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wan.batch.queue import QUEUE_FOLDER
from wan.errors import InvalidInput
from wan.runs import IMAGE_NAME, RECORD_NAME, VIDEO_NAME, load_record
from wan.runs.folders import PREVIEW_NAME
from wan.serve.views import Run
from wan.shortcuts import shortcut_label

_MOST_DEPTH = 3


class RunFolders:
    """Finds run folders; a record that has not changed is not read again. One thread uses it at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[int, Run]] = {}

    def find(self, entries: Mapping[Path, str]) -> list[Run]:
        """All of them, the newest first. ``entries``: the ids of the requests by their folder."""
        found: dict[Path, tuple[int, Run]] = {}
        for folder, changed in _record_files(self._folder, depth=_MOST_DEPTH):
            before = self._read.get(folder)
            if before is not None and before[0] == changed and before[1].file is not None:
                found[folder] = before
            elif (run := _run(folder, changed, entries.get(folder))) is not None:
                found[folder] = changed, run
        self._read = found
        return sorted((run for _, run in found.values()), key=lambda run: run.modified_at, reverse=True)


def _record_files(folder: Path, *, depth: int) -> Iterator[tuple[Path, int]]:
    """Run folders with the time at which their record was written, in nanoseconds; no link is followed."""
    try:
        inside = [one for one in os.scandir(folder) if one.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for one in inside:
        if one.name.startswith(".") or (one.name == QUEUE_FOLDER):
            continue
        path = folder / one.name
        try:
            yield path, (path / RECORD_NAME).stat().st_mtime_ns
        except OSError:
            if depth > 1:
                yield from _record_files(path, depth=depth - 1)


def _run(folder: Path, changed: int, entry: str | None) -> Run | None:
    try:
        record = load_record(folder)
    except InvalidInput:
        return None
    timing, settings = _part(record, "timing"), _part(record, "settings")
    seconds, seed = timing.get("inference"), record.get("seed")
    return Run(
        folder=folder,
        status=str(record.get("status", "")),
        task=str(record.get("task", "")),
        prompt=str(record.get("prompt", "")),
        seed=seed if isinstance(seed, int) else -1,
        shortcuts=shortcut_label(settings),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        file=existing(folder, VIDEO_NAME, IMAGE_NAME),
        preview=existing(folder, PREVIEW_NAME),
        modified_at=changed / 1e9,
        entry=entry,
    )


def existing(folder: Path, *names: str) -> Path | None:
    """The first of some files that is there, as a file of that folder itself and not as a link."""
    found = (folder / name for name in names)
    return next((path for path in found if path.is_file() and not path.is_symlink()), None)


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}
