"""A suite: what the arena measures, read from YAML and checked, with the file, line and key in every refusal."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from wan.configs import WAN_CONFIGS
from wan.demo_world.words import held_out_by_motion, training_combinations
from wan.errors import InvalidInput
from wan.flags import field_names, value_from_data
from wan.instruments.arena import located_yaml
from wan.instruments.flags import DEMO_TASK, Case
from wan.limits import MAX_SEED
from wan.request import Request
from wan.shortcuts import Shortcuts
from wan.texts import checked_prompt

SUITE_DIR = Path(__file__).parent
HELD_OUT = "held_out"
PEER, OURS, OTHER = "peer", "ours", "other"
ROLES = (PEER, OURS, OTHER)
"""What a user could do without this project; what must win; what is only shown."""
PLAIN, RERUN, ANOTHER_SEED = "plain", "re-run", "another seed"
RESERVED = (PLAIN, RERUN, ANOTHER_SEED)
"""Made in every arena: the baseline, the baseline again, and another seed of the same prompt."""
_KEYS = ("like", "task", "base", "prompts", "per_motion", "seeds", "methods")
_METHOD_KEYS = ("name", "family", "role", "set", "peer")
_PEER_KEYS = ("class", "args", "batched")
_BASE = ("sample_solver", "sample_steps", "sample_shift", "sample_guide_scale", "size", "frame_num", "negative_prompt")
# everything else that a request has is the same for all methods of a suite
_FIXED = (
    *("task", "ckpt_dir", "prompt", "negative_prompt", "image", "size", "frame_num", "seed", "output_dir"),
    *("save_file", "overwrite", "enable_debug", "debug_output_dir", "debug_dtype", "preview", "preview_every"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerConfig:
    """A cache that diffusers ships and that has no flag here: the class of its config, its arguments, and whether it
    needs both branches in one forward."""

    cls: str
    args: Mapping[str, Any] = field(default_factory=dict)
    batched: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One method of a suite: what it changes in the request and in its shortcuts.

    Methods of one ``family`` are settings of one knob and are joined in figures; ``role`` is one of ``ROLES``.
    """

    name: str
    family: str
    role: str
    request: Mapping[str, Any] = field(default_factory=dict)
    shortcuts: Shortcuts = Shortcuts()
    peer: PeerConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """What is measured. ``base``: fields of the request that all methods share; ``data``: the file's content."""

    name: str
    task: str
    base: Mapping[str, Any]
    cases: tuple[Case, ...]
    entries: tuple[Entry, ...]
    data: Mapping[str, Any]


def suite_names() -> tuple[str, ...]:
    """The suites that the package brings."""
    return tuple(sorted(path.stem for path in SUITE_DIR.glob("*.yaml")))


def load_suite(name: str) -> Suite:
    """A suite of the package by name, or a YAML file; ``InvalidInput`` for what it must not hold."""
    path = SUITE_DIR / f"{name}.yaml" if name in suite_names() else Path(name)
    if not path.is_file():
        raise InvalidInput(f"--suite {name} is neither a file nor one of {', '.join(suite_names())}")
    return _Reader(path).suite()


class _Reader:
    """One file; every refusal begins with its path."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = located_yaml.read_yaml(path)
        if "like" in self._data:
            self._take_over(self._data["like"])

    def suite(self) -> Suite:
        data = self._data
        self._refuse_unknown(data, _KEYS, "of a suite", data.line)
        task = data.get("task", DEMO_TASK)
        if task not in WAN_CONFIGS:
            self._refuse("task", data.line, f"{task!r} is no task; choose one of {', '.join(WAN_CONFIGS)}")
        return Suite(
            name=self._path.stem,
            task=task,
            base=self._values(self._mapping(data, "base"), Request, _BASE, "base"),
            cases=self._cases(task),
            entries=self._entries(),
            data=data,
        )

    def _take_over(self, name: object) -> None:
        """What the file does not say is as in a suite of the package, which is like no other."""
        if name not in suite_names():
            self._refuse("like", self._data.line, f"{name!r} is none of {', '.join(suite_names())}")
        for key, value in located_yaml.read_yaml(SUITE_DIR / f"{name}.yaml").items():
            self._data.setdefault(key, value)

    def _cases(self, task: str) -> tuple[Case, ...]:
        prompts = self._prompts(task)
        seeds = self._list(self._data, "seeds")
        if not all(type(seed) is int and 0 <= seed <= MAX_SEED for seed in seeds) or len(set(seeds)) < len(seeds):
            self._refuse("seeds", self._data.line, f"{seeds} must be different whole numbers from 0 on, below 2^63")
        # seed by seed, so that the first clips of an unfinished run cover all prompts
        return tuple(Case(prompt=prompt, seed=seed) for seed in seeds for prompt in prompts)

    def _prompts(self, task: str) -> list[str]:
        data, line = self._data, self._data.line
        if data.get("prompts") == HELD_OUT:
            if task != DEMO_TASK:
                self._refuse("prompts", line, f"held_out prompts are the demo model's; write a list for task {task}")
            count = data.get("per_motion", 2)
            if type(count) is not int or count < 1:
                self._refuse("per_motion", line, f"{count!r} must be a whole number from 1 on")
            return [one.caption() for one in held_out_by_motion(count)]
        if "per_motion" in data:
            self._refuse("per_motion", line, "it is for `prompts: held_out`; leave it out")
        prompts = self._list(data, "prompts")
        if not all(isinstance(one, str) and one.strip() for one in prompts) or len(set(prompts)) < len(prompts):
            self._refuse("prompts", line, "it must be held_out, or a list of different texts")
        tuned = {one.caption() for one in training_combinations()} if task == DEMO_TASK else set()
        if found := [prompt for prompt in prompts if " ".join(prompt.split()) in tuned]:
            said = f"{found[0]!r} is a training prompt, which plans are tuned on and nothing is reported on"
            self._refuse("prompts", line, f"{said}; use held_out")
        return [checked_prompt(prompt, name=f"{self._path}, line {line}, prompts:") for prompt in prompts]

    def _entries(self) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for number, method in enumerate(self._list(self._data, "methods"), start=1):
            if not isinstance(method, located_yaml.Mapping):
                self._refuse(f"methods[{number}]", self._data.line, "a method is a mapping like {name: ..., set: ...}")
            entries.append(self._entry(method, number))
            if entries[-1].name in (*RESERVED, *(one.name for one in entries[:-1])):
                taken = "always made" if entries[-1].name in RESERVED else "there already"
                self._refuse(f"methods[{number}].name", method.line, f"{entries[-1].name!r} is {taken}; give another")
        return tuple(entries)

    def _entry(self, method: located_yaml.Mapping, number: int) -> Entry:
        where = f"methods[{number}]"
        self._refuse_unknown(method, _METHOD_KEYS, "of a method", method.line)
        name = method.get("name")
        if not isinstance(name, str) or not name.strip():
            self._refuse(f"{where}.name", method.line, f"{name!r} must be a text")
        role = method.get("role", PEER if "peer" in method else OTHER)
        if role not in ROLES:
            self._refuse(f"{where}.role", method.line, f"{role!r} is unknown; choose one of {', '.join(ROLES)}")
        changes = self._mapping(method, "set")
        own = field_names(Shortcuts)
        known = [one for one in field_names(Request) if one not in _FIXED]
        self._refuse_unknown(changes, (*own, *known), f"that {name!r} can set", changes.line or method.line)
        shortcuts = self._values(_only(changes, own), Shortcuts, own, f"{where}.set")
        try:
            chosen = Shortcuts(**shortcuts)
        except InvalidInput as error:
            self._refuse(f"{where}.set", method.line, f"{name!r}: {error}")
        return Entry(
            name=name,
            family=str(method.get("family", name)),
            role=role,
            request=self._values(_only(changes, known), Request, known, f"{where}.set"),
            shortcuts=chosen,
            peer=self._peer(method, where),
        )

    def _peer(self, method: located_yaml.Mapping, where: str) -> PeerConfig | None:
        if "peer" not in method:
            return None
        given = self._mapping(method, "peer")
        self._refuse_unknown(given, _PEER_KEYS, "of a peer", given.line)
        cls, batched = given.get("class"), given.get("batched", False)
        if not isinstance(cls, str) or not isinstance(batched, bool):
            self._refuse(f"{where}.peer", given.line, "class must be the name of a config of diffusers, batched a bool")
        return PeerConfig(cls=cls, args=dict(self._mapping(given, "args")), batched=batched)

    def _values(self, given: located_yaml.Mapping, cls: type, known: Collection[str], where: str) -> dict[str, Any]:
        self._refuse_unknown(given, known, f"that {where} can set", given.line)
        values = {}
        for key, data in given.items():
            try:
                values[key] = value_from_data(cls, key, data)
            except ValueError as error:
                self._refuse(f"{where}.{key}", given.line, f"{data!r}: {error}")
        return values

    def _mapping(self, data: located_yaml.Mapping, key: str) -> located_yaml.Mapping:
        found = data.get(key, located_yaml.Mapping())
        if not isinstance(found, located_yaml.Mapping):
            self._refuse(key, data.line, f"{found!r} must be a mapping like {{key: value}}")
        return found

    def _list(self, data: located_yaml.Mapping, key: str) -> list[Any]:
        found = data.get(key)
        if not isinstance(found, list) or not found:
            self._refuse(key, data.line, f"{found!r} must be a list that is not empty")
        return found

    def _refuse_unknown(self, data: located_yaml.Mapping, known: Collection[str], of: str, line: int) -> None:
        for key in data:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                self._refuse(str(key), line, f"it is no key {of}; {hint}")

    def _refuse(self, key: str, line: int, rule: str) -> NoReturn:
        raise InvalidInput(f"{self._path}, line {line}, {key}: {rule}")


def _only(data: located_yaml.Mapping, names: Collection[str]) -> located_yaml.Mapping:
    found = located_yaml.Mapping((key, value) for key, value in data.items() if key in names)
    found.line = data.line
    return found
