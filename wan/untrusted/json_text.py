"""JSON that somebody else wrote: strict, of bounded size, and every way to be wrong has its reason."""

import codecs
import json
from pathlib import Path
from typing import Any

from wan.untrusted.refusal import MALFORMED, Refused, reason_of, shown
from wan.untrusted.regular import open_regular

MAX_BYTES = 64 * 2**20
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_json_object(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The JSON object in a file; ``Refused`` says why there is none."""
    content = parse_json(read_bytes(path, max_bytes=max_bytes))
    if not isinstance(content, dict):
        raise Refused("it holds no JSON object")
    return content


def read_bytes(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """All of a small file; ``Refused`` for one that is larger than such a file can be, or none."""
    with open_regular(path) as file:
        try:
            content = file.read(max_bytes + 1)
        except OSError as error:
            raise Refused(f"it cannot be read ({error.strerror or error})") from error
    if len(content) > max_bytes:
        raise Refused(f"it is larger than {max_bytes // 2**20} MiB, which no such file is")
    return content


def parse_json(content: bytes) -> Any:
    """Strict JSON in UTF-8: no byte order mark, no NaN, no key twice. ``Refused`` says what is wrong."""
    if not content:
        raise Refused("it is empty")
    if content.startswith(_MARKS):
        raise Refused("it begins with a byte order mark, and JSON is plain UTF-8 without one")
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except Refused:
        raise
    except UnicodeDecodeError as error:
        raise Refused(f"it is not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise Refused("its values are nested too deeply") from error
    except ValueError as error:
        if "digits" in str(error):
            raise Refused("it holds a number of thousands of digits") from error
        raise Refused(f"it cannot be read as JSON ({reason_of(error)})") from error
    except MALFORMED as error:
        raise Refused(f"it cannot be read as JSON ({reason_of(error)})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Refused(f"it has the key {shown(twice)!r} twice")
    return found


def _no_constant(word: str) -> float:
    raise Refused(f"it holds {word}, which is no JSON")
