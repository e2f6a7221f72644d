"""Standard output and error that no text and no reader can break: escaped where needed, dropped where nobody reads.

Every door of the program calls ``lasting_streams`` first. A run then does not end because a prompt has a letter that
the terminal's encoding lacks, because ``| head`` has read enough, or because the terminal was closed.
"""

import errno
import io
import os
import sys
from typing import Any, TextIO

_GONE = (errno.EPIPE, errno.EIO)
"""Nobody reads any more: the other end of the pipe, or the terminal, is closed."""


class LastingFile(io.FileIO):
    """A file descriptor whose reader may go away: then what is written is dropped.

    Where it cannot be written for another reason (the disk is full), it is dropped too, and ``failure`` keeps why.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        """The number of bytes that count as written: all that were not."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _GONE:
                self.failure = self.failure or error
            return memoryview(data).nbytes


def lasting_streams() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` last, whatever is written and whoever reads; again changes nothing.

    A stream that another program has put in its place is kept, and only told to escape what it cannot encode.
    """
    sys.stdout = _lasting(sys.stdout, is_original=sys.stdout is sys.__stdout__)
    sys.stderr = _lasting(sys.stderr, is_original=sys.stderr is sys.__stderr__)


def silent_streams() -> None:
    """Drop what is written from now on: another process of the group says it."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def flush_streams() -> OSError | None:
    """Write what waits; the reason why standard output is not whole, None when it is or when its reader has gone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    raw = _descriptor_of(sys.stdout)
    return raw.failure if isinstance(raw, LastingFile) else None


def _lasting(stream: TextIO | None, *, is_original: bool) -> Any:
    """None (the descriptor is closed) stays None: Python prints to it without a word."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = _descriptor_of(stream)
    if not is_original or not isinstance(raw, io.FileIO) or isinstance(raw, LastingFile):
        stream.reconfigure(errors="backslashreplace")
        return stream
    stream.flush()
    # a copy of the descriptor: the old stream closes its own when it is collected
    file = LastingFile(os.dup(raw.fileno()), "w")
    # without a buffer (python -u) the text stream stands on the descriptor itself
    return io.TextIOWrapper(
        file if stream.buffer is raw else io.BufferedWriter(file),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _descriptor_of(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
