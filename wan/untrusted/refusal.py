"""Why a file of others is refused, and how its content is quoted: one line, no control characters, never long."""

import struct
import unicodedata
import zlib
from collections.abc import Collection

SHOWN_CHARACTERS = 80
_SHOWN_VALUES = 16
MALFORMED: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # RecursionError is one
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What the readers of Python and of the libraries raise for content that no writer makes."""


class Refused(ValueError):
    """A file is not what its name says. The message is a reason ("it is cut short"), without the path and the fix."""


def shown(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """A value out of a file, fit for one sentence: control and direction characters as escapes, cut at ``limit``."""
    if isinstance(value, dict | list | tuple) and not _is_short(value):
        return f"a {type(value).__name__} of {len(value)} values"
    try:
        text = str(value)
    except MALFORMED:  # a number of more digits than Python prints
        text = f"a {type(value).__name__} that cannot be shown"
    cut = text[:limit]
    plain = "".join(character if _is_plain(character) else f"\\u{ord(character):04x}" for character in cut)
    return plain + ("..." if len(text) > limit else "")


def one_line(text: str) -> str:
    """A sentence without what would break its line or reach the terminal as a command; not cut."""
    return shown(text, len(text))


def reason_of(error: BaseException) -> str:
    """The first line of an error of a library, shortened."""
    lines = str(error).strip().splitlines()
    return shown(lines[0], 160) if lines else type(error).__name__


def _is_short(values: Collection[object]) -> bool:
    """Whether it can be written out: tuples in tuples that share their parts can have more text than memory has."""
    return len(values) <= _SHOWN_VALUES and not any(isinstance(value, dict | list | tuple) for value in values)


def _is_plain(character: str) -> bool:
    # Cc control, Cf direction and joining, Zl and Zp line and paragraph ends; a lone surrogate stays as it is: it
    # stands for a byte of a path that is not UTF-8
    return unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")
