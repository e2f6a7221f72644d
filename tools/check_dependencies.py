"""Known advisories of every pinned dependency (PyPI's, through pip-audit), or the pins' dates where nobody answers.

    python tools/check_dependencies.py     what `make check` runs

Exit codes: 0; 1 when an advisory is known, which is printed with the version that is free of it. The dates are those in
the requirements files: the day on which a version was published.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from door import run_tool, tool_parser
from wan.commands import SOURCE_DIR

NAME = "check_dependencies.py"
_PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+) +# (?P<day>\d{4}-\d\d-\d\d): ")
_SECONDS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """One pinned package and the day on which that version was published."""

    name: str
    version: str
    published: date


def main(argv: Sequence[str]) -> int:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("files", nargs="*", type=Path, help="requirements files (all of this repository)")
    files = parser.parse_args(argv).files or sorted(SOURCE_DIR.glob("requirements*.txt"))
    lines, found = report(pins_of(files), audited(files))
    print("\n".join(lines))
    return 1 if found else 0


def pins_of(files: Sequence[Path]) -> list[Pin]:
    """Every pin with its date, in the order of the files."""
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    matches = filter(None, map(_PIN.match, lines))
    return [
        Pin(name=match["name"], version=match["version"], published=date.fromisoformat(match["day"]))
        for match in matches
    ]


def audited(files: Sequence[Path]) -> Sequence[Mapping[str, Any]]:
    """What pip-audit says of every pin; nothing when it is not installed, or reaches no index."""
    asked = [word for path in files for word in ("-r", str(path))]
    quiet = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--timeout", str(_SECONDS)]
    command = [sys.executable, "-m", "pip_audit", *asked, *quiet, "--format", "json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(answer.stdout)["dependencies"]
    except ValueError:
        return []


def report(pins: Sequence[Pin], answers: Sequence[Mapping[str, Any]]) -> tuple[list[str], bool]:
    """The lines to print, and whether an advisory is known."""
    known = {answer["name"].lower() for answer in answers if "skip_reason" not in answer}
    advisories = list(_advisories(answers))
    silent = [pin for pin in pins if pin.name.lower() not in known]
    lines = [f"{len(pins) - len(silent)} of {len(pins)} pins checked for advisories, {len(advisories)} known"]
    lines += advisories
    if silent:
        lines.append("no advisories to be had of these (no answer from the index, or pip-audit is not installed):")
        width = max(len(f"{pin.name}=={pin.version}") for pin in silent)
        lines += [f"  {f'{pin.name}=={pin.version}':<{width}}  published {pin.published}" for pin in silent]
    return lines, bool(advisories)


def _advisories(answers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for answer in answers:
        for one in answer.get("vulns", ()):
            repaired = ", ".join(one["fix_versions"]) or "no version yet"
            yield f"  {answer['name']}=={answer['version']}: {one['id']}, repaired in {repaired}"


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
