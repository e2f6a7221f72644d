"""What a worker shows while it works, at a small share of the time: a progress bar over all requests, and the index."""

from collections.abc import Callable

from tqdm import tqdm

from wan.batch.claim_files import RUNNING
from wan.batch.clock import Clock
from wan.batch.index import write_index
from wan.batch.queue import WAITING, Queue

MOST_OF_THE_TIME = 0.02
"""Reading the state of all requests takes longer the more there are: it is done so rarely that it costs no more."""


class Overview:
    """Refreshes the bar and the index when something has changed; the last time always."""

    def __init__(
        self, queue: Queue, *, title: str, show_progress: bool, clock: Clock, warn: Callable[[str], None]
    ) -> None:
        self._queue = queue
        self._title = title
        self._clock = clock
        self._warn = warn
        self._next = float("-inf")
        self._bar = tqdm(desc="batch", unit="request", disable=not show_progress)

    def changed(self, *, last: bool = False) -> None:
        """As ``wan.batch.worker.Watcher``."""
        start = self._clock.now()
        if start < self._next and not last:
            return
        counts = self._queue.counts()
        try:
            write_index(self._queue, title=self._title, counts=counts)
        except OSError as error:
            self._warn(f"the index cannot be written ({error.strerror or error}); the batch goes on")
        self._show(counts)
        now = self._clock.now()
        self._next = now + (now - start) / MOST_OF_THE_TIME

    def close(self) -> None:
        """End the bar."""
        self._bar.close()

    def _show(self, counts: dict[str, int]) -> None:
        self._bar.total = sum(counts.values())
        self._bar.n = self._bar.total - counts[WAITING] - counts[RUNNING]
        self._bar.set_postfix({state: count for state, count in counts.items() if count}, refresh=True)
