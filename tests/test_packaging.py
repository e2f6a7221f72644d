"""Pins and ranges agree: requirements.txt installs what pyproject.toml allows, and neither forgets a package."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# torchvision cannot be imported beside the CPU build of torch, and these three need it.
FORBIDDEN = {"torchvision", "lpips", "piq", "pyiqa"}


def pins(name: str) -> dict[str, str]:
    """{package: version} of a requirements file; every line must be an exact pin with its date and its reason."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith(("#", "-r ")):
            match = re.fullmatch(r"([A-Za-z0-9_.-]+)==(\S+) +# \d{4}-\d\d-\d\d: \S.*", line)
            assert match, f"{name}: {line!r} is not of the form package==version  # YYYY-MM-DD: reason"
            found[canonicalize_name(match[1])] = match[2]
    return found


def ranges(requirements: list[str]) -> dict[str, Requirement]:
    parsed = [Requirement(requirement) for requirement in requirements]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("requirements.txt", ["analysis"]),
        ("requirements-dev.txt", ["dev"]),
        ("requirements-scale.txt", ["scale"]),
        ("requirements-serve.txt", ["serve"]),
        ("requirements-quantize.txt", ["quantize"]),
    ],
)
def test_pins_and_ranges_name_the_same_packages_and_agree(
    project: dict[str, Any], file: str, extras: list[str]
) -> None:
    allowed = ranges(project["dependencies"]) if file == "requirements.txt" else {}
    for extra in extras:
        allowed |= ranges(project["optional-dependencies"][extra])
    allowed.pop(project["name"], None)
    pinned = pins(file)
    assert pinned.keys() == allowed.keys()
    outside = [name for name, version in pinned.items() if version not in allowed[name].specifier]
    assert not outside, f"pinned outside the range of pyproject.toml: {outside}"


def test_nothing_needs_torchvision() -> None:
    assert not FORBIDDEN & (pins("requirements.txt") | pins("requirements-dev.txt")).keys()


def test_torch_is_the_version_that_the_project_can_install() -> None:
    assert pins("requirements.txt")["torch"] == "2.13.0"
