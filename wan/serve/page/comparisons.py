"""Comparisons of two runs, made by ``wan compare --from_runs`` in a process of its own and kept beside the runs."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from wan.analysis.comparison_files import DATA_NAME
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused

FOLDER = "comparisons"
_SECONDS = 1800


@dataclass(kw_only=True, slots=True)
class Comparisons:
    """The comparisons of the runs below ``folder``; one is made at a time, because each loads a decoder.

    ``device``: where, None for the best one here.
    """

    folder: Path
    device: str | None = None
    _one_at_a_time: Lock = field(default_factory=Lock, init=False)

    @property
    def where(self) -> Sequence[str]:
        """The flags that say where a decoder runs."""
        return ["--device", self.device] if self.device else []

    def place(self, baseline: str, method: str) -> Path:
        """The folder of a comparison, by the names of both run folders, which may be too long to stand in one name."""
        both = hashlib.sha256(f"{baseline}/{method}".encode()).hexdigest()
        return self.folder / FOLDER / both[:20]

    def find(self, baseline: str, method: str) -> Mapping[str, Any] | None:
        """What a comparison that is there already found: the content of its ``error_comparison.json``."""
        try:
            return read_json_object(self.place(baseline, method) / DATA_NAME)
        except (Refused, OSError):
            return None

    def make(self, baseline: str, method: str) -> Mapping[str, Any]:
        """The comparison, made now if it is not there; ``InvalidInput`` with the sentence that the command says."""
        with self._one_at_a_time:
            found = self.find(baseline, method)
            if found is None:
                runs = [str(self.folder / name) for name in (baseline, method)]
                place = ["--output_dir", str(self.place(baseline, method)), "--overwrite", "--quiet"]
                command("compare", "--from_runs", *runs, *place, *self.where)
                found = self.find(baseline, method)
        if found is None:
            raise InvalidInput(f"the comparison of {baseline} and {method} could not be read; compare them again")
        return found


def command(name: str, *words: str) -> str:
    """Run a command of this package in a process of its own; its output, or ``InvalidInput`` with its sentence."""
    line = [sys.executable, "-m", "wan", name, *words]
    found = os.pathsep.join(filter(None, (str(SOURCE_DIR), os.environ.get("PYTHONPATH"))))
    try:
        ended = subprocess.run(
            line,
            env={**os.environ, "PYTHONPATH": found},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidInput(f"wan {name} could not be run ({error}); run it on a command line") from error
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or [f"wan {name} ended with code {ended.returncode}"]
        raise InvalidInput(said[-1])
    return ended.stdout
