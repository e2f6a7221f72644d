"""Who a worker is, and whether a worker of this same machine is dead, which its kernel knows at once.

A worker holds a lock on a file of its own as long as its process lives. Whoever runs under the same kernel can try that
lock: if it can be had, the process is gone, and nobody has to wait for a lease to end. Of a worker on another machine
only its silence tells.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(slots=True)
class Worker:
    """One worker: its name in claims, and the lock that shows that it lives; ``close`` it, or use it in ``with``.

    Without a ``folder`` it holds no lock, and others know only its silence.
    """

    name: str
    kernel: str = ""
    _lock: FileLock | None = None

    @classmethod
    def in_folder(cls, folder: Path, *, name: str | None = None) -> Self:
        """A worker whose lock lies in ``folder``; OSError when it cannot be made."""
        name = name or f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        kernel = this_kernel()
        if not kernel:
            return cls(name)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_path(folder, name), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (OSError, NotImplementedError):
            return cls(name)  # a file system without locks: then the lease alone decides
        return cls(name, kernel, lock)

    def close(self) -> None:
        """Let go of the lock; the file goes with it."""
        if self._lock is not None:
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@cache
def this_kernel() -> str:
    """What tells this running kernel from every other; containers of one machine share it. Empty where unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def lives(folder: Path, *, name: str, kernel: str) -> bool | None:
    """Whether the process of a worker lives; None of a worker of another machine, and where no lock tells."""
    if not kernel or kernel != this_kernel() or "/" in name:
        return None
    path = _lock_path(folder, name)
    if not path.is_file():
        return False  # it let go of its lock in order, or somebody found it dead before
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return None
    path.unlink(missing_ok=True)
    lock.release()
    return False


def _lock_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
