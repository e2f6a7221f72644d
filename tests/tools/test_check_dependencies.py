"""Known advisories of the pinned dependencies fail the check; without an index the pins' dates are printed."""

import re
from datetime import date
from pathlib import Path

import pytest

import check_dependencies as tool
from wan.commands import SOURCE_DIR

TORCH = tool.Pin(name="torch", version="2.0", published=date(2026, 7, 8))
PILLOW = tool.Pin(name="Pillow", version="9.0", published=date(2022, 1, 2))


def test_every_pin_has_its_date() -> None:
    files = sorted(SOURCE_DIR.glob("requirements*.txt"))
    pinned = [
        line for path in files for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"[^#]+==", line)
    ]
    assert len(tool.pins_of(files)) == len(pinned) > 20


def test_an_advisory_is_named_with_what_repairs_it() -> None:
    answers = [
        {"name": "torch", "version": "2.0", "vulns": []},
        {"name": "pillow", "version": "9.0", "vulns": [{"id": "CVE-2022-1", "fix_versions": ["9.1"]}]},
    ]
    lines, found = tool.report([TORCH, PILLOW], answers)
    assert found
    assert lines == ["2 of 2 pins checked for advisories, 1 known", "  pillow==9.0: CVE-2022-1, repaired in 9.1"]


def test_without_an_answer_the_dates_are_printed() -> None:
    lines, found = tool.report([TORCH, PILLOW], [{"name": "torch", "skip_reason": "not found"}])
    assert not found
    assert lines[0] == "0 of 2 pins checked for advisories, 0 known"
    assert lines[2:] == ["  torch==2.0   published 2026-07-08", "  Pillow==9.0  published 2022-01-02"]


@pytest.mark.parametrize("said", ["", "pip_audit: no index", "[]x"])
def test_a_silent_pip_audit_is_no_advisory(said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Answer:
        stdout = said

    monkeypatch.setattr(tool.subprocess, "run", lambda *args, **kwargs: Answer())
    assert tool.audited([tmp_path]) == []
