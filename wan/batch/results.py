"""How a request ended: one small file, made exclusively, so that every request ends once."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path
from wan.runs.record import FAILED, FINISHED
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused

CANCELLED = "cancelled"
ENDINGS = (FINISHED, FAILED, CANCELLED)
END_SUFFIX = ".end"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """``state`` is one of ``ENDINGS``; ``file`` what was made, ``error`` the sentence of a request that failed.

    ``seconds``: from its last claim to its end. ``attempts``: claims that failed before this one.
    """

    state: str
    worker: str = ""
    file: str = ""
    error: str = ""
    seconds: float = 0.0
    attempts: int = 0


def write_result(path: Path, result: Result) -> bool:
    """Write it; False when the request has ended before. OSError when it cannot be written."""
    assert result.state in ENDINGS, result.state
    try:
        with atomic_path(path, overwrite=False) as temporary:
            temporary.write_text(json.dumps(asdict(result)) + "\n", encoding="ascii")
    except FileExistsError:
        return False
    return True


def read_result(path: Path) -> Result:
    """InvalidInput when the file is missing or damaged."""
    try:
        found = read_json_object(path)
        return Result(**found)
    except (Refused, TypeError) as error:
        raise InvalidInput(
            f"{path} does not say how a request ended ({error}); remove it, and it is made again"
        ) from error
