"""Reads the result files of a report."""

from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of an instrument; InvalidInput when it cannot be read."""
    try:
        return read_json_object(path)
    except Refused as error:
        raise InvalidInput(f"{path} cannot be used: {error}; repeat the measurement") from error
