"""The memory of this process as Linux accounts for it, and the most it was while something ran.

Three figures, in bytes. *allocated* (RssAnon): what the process asked for and nobody else can use. *mapped* (RssFile
and RssShmem): pages of files that are mapped into it, weights and libraries; the system drops them when memory is short
and reads them again. *resident* (VmHWM): both together, the highest value as the kernel recorded it; the first two are
sampled, and the highest of each need not fall on the same moment.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from wan.errors import InvalidInput

STATUS = Path("/proc/self/status")
_INTERVAL_SECONDS = 0.002
_KIB = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Bytes; see the head of this file."""

    allocated: int
    mapped: int
    resident: int


def refuse_other_systems() -> None:
    """``InvalidInput`` where /proc/self/status does not tell allocated from mapped memory: everywhere but on Linux."""
    if not STATUS.is_file() or "RssAnon:" not in STATUS.read_text(encoding="utf-8"):
        raise InvalidInput(
            "this tool reads RssAnon and VmHWM from /proc/self/status, which only Linux has; run it there"
        )


class MemoryWatch:
    """``with MemoryWatch() as watch: ...``, then ``watch.peak()``."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory watch", daemon=True)
        self._allocated = 0
        self._mapped = 0

    def peak(self) -> Memory:
        """The highest values so far."""
        return Memory(allocated=self._allocated, mapped=self._mapped, resident=_status()["VmHWM"])

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            self._look()

    def _look(self) -> None:
        now = _status()
        self._allocated = max(self._allocated, now["RssAnon"])
        self._mapped = max(self._mapped, now["RssFile"] + now["RssShmem"])


def _status() -> dict[str, int]:
    """The sizes of /proc/self/status, in bytes."""
    fields = (line.partition(":") for line in STATUS.read_text(encoding="utf-8").splitlines())
    return {name: int(value.split()[0]) * _KIB for name, _, value in fields if value.endswith(" kB")}
