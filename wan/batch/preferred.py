"""Which requests are claimed before all others: for each an empty file, whose name is its rank and its id.

``queue/preferred/000003-000012-004`` says that request 000012-004 goes first, unless one has a higher rank. A name
is made and removed at once and as a whole, and nobody rewrites what another has written: any number of processes may
prefer requests at the same time, and a kill leaves no half of it. Names that say nothing are passed over.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PREFERRED_FOLDER = "preferred"
_NAME = re.compile(r"(\d{6}|[1-9]\d{6,17})-((?:\d{6}|[1-9]\d{6,17})-\d{3})", re.ASCII)


class Preferred:
    """The preferred requests of the queue in ``root``; OSError where its folder cannot be read or written."""

    def __init__(self, root: Path) -> None:
        self._folder = root / PREFERRED_FOLDER

    def ids(self) -> list[str]:
        """The ids, the first to be claimed first; one directory listing. They may have ended, or be no requests."""
        return list(dict.fromkeys(id for _, id in sorted(self._ranks(), reverse=True)))

    def put_first(self, request: str) -> None:
        """Have it claimed before the others, those that were put first until now too."""
        self._folder.mkdir(exist_ok=True)
        ranks = list(self._ranks())
        highest = max((rank for rank, _ in ranks), default=0)
        self._path(highest + 1, request).touch()
        self._remove(request, ranks)

    def drop(self, request: str) -> None:
        """It is no longer preferred."""
        self._remove(request, list(self._ranks()))

    def _ranks(self) -> Iterator[tuple[int, str]]:
        try:
            names = os.listdir(self._folder)
        except (FileNotFoundError, NotADirectoryError):  # nothing was ever preferred here
            return
        for name in names:
            if found := _NAME.fullmatch(name):
                yield int(found[1]), found[2]

    def _remove(self, request: str, ranks: Iterable[tuple[int, str]]) -> None:
        for rank, id in ranks:
            if id == request:
                with suppress(OSError):  # what stays has a lower rank, or has ended: it is passed over
                    self._path(rank, id).unlink(missing_ok=True)

    def _path(self, rank: int, request: str) -> Path:
        return self._folder / f"{rank:06d}-{request}"
