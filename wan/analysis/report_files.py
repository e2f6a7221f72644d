"""Reads the result files of a report."""

import json
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file of an instrument; InvalidInput when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON ({error}): repeat the measurement") from error
