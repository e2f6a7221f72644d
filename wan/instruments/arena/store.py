"""What an arena leaves on disk: a header that says what made it, and one JSON file per case, named by what decides it.

A case is found again by a digest of everything that decides its numbers: plan, prompt, seed, checkpoint, code and
versions. So an interrupted arena goes on where it stopped, and nothing that another plan, checkpoint or code made is
taken for its own.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from itertools import count
from pathlib import Path, PurePath
from typing import Any

from wan.errors import InvalidInput
from wan.instruments.arena.contestants import Contestant
from wan.instruments.flags import Case
from wan.loading.layouts import Checkpoint
from wan.machine import Machine
from wan.runs import checkpoint_identity, environment_versions, write_json_atomic
from wan.runs.folders import prompt_slug
from wan.runs.provenance import source_digest

HEADER, CASES = "arena.json", "cases"
_VERSIONS = ("torch", "diffusers", "transformers", "numpy")
# the source that decides a clip, its cost or its scores; the rest of the package can change without remaking a case
_SOURCE = (
    *("sampling", "models", "loading", "demo_world", "pipeline.py", "session.py"),
    *("analysis/metrics.py", "instruments/compare.py"),
    *(f"instruments/arena/{name}.py" for name in ("runner", "peers", "truth")),
)


def identity_of(checkpoint: Checkpoint, machine: Machine) -> dict[str, Any]:
    """What every case of one arena shares: hashes of the checkpoint and the source, versions, use of the machine."""
    versions = environment_versions()
    return {
        "checkpoint": checkpoint_identity(checkpoint.path)["id"],
        "code": source_digest(_SOURCE),
        "versions": {name: versions[name] for name in _VERSIONS},
        "machine": canonical(machine),
    }


def case_key(identity: Mapping[str, Any], contestant: Contestant, case: Case) -> str:
    """The digest of all that decides one case."""
    assert contestant.method is not None
    method = contestant.method
    decisive = {
        "identity": identity,
        "plan": canonical(method.plan),
        "settings": canonical(method.settings),
        "negative_prompt": method.job.negative_prompt,
        "peer": canonical(contestant.peer),
        "prompt": case.prompt,
        "seed": [case.seed, method.seed_shift],
        "is_control": method.is_control,
    }
    return digest_of(decisive)


def digest_of(decisive: Any) -> str:
    """SHA-256 over the plain values of everything that decides a result."""
    return hashlib.sha256(json.dumps(canonical(decisive), sort_keys=True).encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Plain JSON values that are equal when ``value`` is: dataclasses with their class, sets in order."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: canonical(getattr(value, one.name)) for one in fields(value)}
        return {"class": type(value).__name__, **named}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): canonical(entry) for key, entry in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((canonical(entry) for entry in value), key=str)
    if isinstance(value, (list, tuple)):
        return [canonical(entry) for entry in value]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} has no canonical form: {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One arena's folder; from ``others``, folders of earlier suites of that name, equal cases are taken over."""

    folder: Path
    identity: Mapping[str, Any]
    others: tuple[Path, ...] = ()

    def find(self, contestant: Contestant, case: Case) -> dict[str, Any] | None:
        """The case that is on disk, here or (then copied) in an earlier suite's folder; None when it is to be made."""
        place, key = self._place(contestant, case)
        for folder in (self.folder, *self.others):
            found = _read(folder / place)
            if found is not None and found["key"] == key:
                if folder != self.folder:
                    write_json_atomic(self.folder / place, found)
                return found
        return None

    def keep(self, contestant: Contestant, case: Case, data: Mapping[str, Any]) -> None:
        """Write a case, whole or not at all."""
        place, key = self._place(contestant, case)
        write_json_atomic(self.folder / place, {"key": key, **data})

    def _place(self, contestant: Contestant, case: Case) -> tuple[Path, str]:
        key = case_key(self.identity, contestant, case)
        clip = f"{prompt_slug(case.prompt)}_seed{case.seed}"
        return Path(CASES) / clip / f"{prompt_slug(contestant.name)}_{key[:12]}.json", key


def open_store(parent: Path, name: str, *, identity: Mapping[str, Any], suite: Mapping[str, Any]) -> tuple[Store, str]:
    """The folder that the same suite, checkpoint and code began, or a new one, and a sentence about it.

    A folder of that name that something else made is left as it is; the next free name (``-2``, ``-3``, ...) is used.
    """
    header = {"identity": canonical(identity), "suite": canonical(suite)}
    passed: list[Path] = []
    for number in count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        found = _read(folder / HEADER)
        if found == header:
            return Store(folder=folder, identity=identity, others=tuple(passed)), f"continuing in {folder}"
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            break
        passed.append(folder)
        earlier = found
    write_json_atomic(folder / HEADER, header)
    said = f"results: {folder}"
    if passed:
        why = _difference(header, earlier)
        said = (
            f"{passed[-1]} was made with {why}, so this arena goes to {folder}; cases that are the same are taken over"
        )
    return Store(folder=folder, identity=identity, others=tuple(passed)), said


def _difference(header: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> str:
    if earlier is None:
        return "something else than an arena"
    own, theirs = header["identity"], earlier.get("identity", {})
    parts = [name for name in own if own[name] != theirs.get(name)]
    if header["suite"] != earlier.get("suite"):
        parts.append("suite")
    return f"another {' and another '.join(parts)}"


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} is not valid JSON ({error}); remove it, and it is made again") from error
    return found if isinstance(found, dict) else None
