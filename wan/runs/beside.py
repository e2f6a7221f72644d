"""Writing beside the next step: one thread, one file at a time, and a disk that takes none is said once."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class WriterBeside:
    """``write`` begins in a thread what may raise OSError; ``said``: the sentence for that error. ``close`` it."""

    def __init__(self, name: str, *, said: Callable[[OSError], str], warn: Callable[[str], None]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._said = said
        self._warn = warn
        self._writing: Future[None] | None = None
        self._has_failed = False

    @property
    def is_busy(self) -> bool:
        """Whether the last file is not written yet."""
        return self._writing is not None and not self._writing.done()

    def write(self, work: Callable[[], None]) -> None:
        """Wait for the file before, and begin this one."""
        self.wait()
        self._writing = self._thread.submit(work)

    def wait(self) -> None:
        """Until the last file is on disk, or could not be written, which is said the first time."""
        writing, self._writing = self._writing, None
        try:
            if writing is not None:
                writing.result()
        except OSError as error:
            if not self._has_failed:
                self._warn(self._said(error))
            self._has_failed = True

    def close(self) -> None:
        """Wait, and end the thread."""
        self.wait()
        self._thread.shutdown()
