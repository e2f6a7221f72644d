"""The file of a batch, read into requests: JSON lines, or plain text with one prompt a line. All faults are named."""

import argparse
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.flags import Groups, Parser, as_text, make_parser
from wan.request import Request, add_request_flags, request_of
from wan.texts import check_path, path_of
from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import Refused
from wan.weight_options import lora_beside, lora_of

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
NOT_IN_A_BATCH = ("output_dir", "save_file", "overwrite", "debug_output_dir")
"""Fields that say where results go: in a batch every request has a run folder of its own."""
OF_THE_WORKER = ("device", "ignore_memory_check")
"""Fields that say where a worker runs, and nothing of what is made."""
_MOST_NUMBERS = 20
_NESTED = ("shortcuts", "weights", "machine")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line that is a request; ``number`` counts the lines of the file from 1."""

    number: int
    request: Request


class Faults:
    """The sentences about faulty lines; ``raise_all`` names them all at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, number: int, sentence: object) -> None:
        self._found.append((number, str(sentence)))

    def raise_all(self) -> None:
        """``InvalidInput`` with every faulty line, equal sentences together; nothing when there is none."""
        if not self._found:
            return
        by_sentence: dict[str, list[int]] = {}
        for number, sentence in sorted(self._found):
            by_sentence.setdefault(sentence, []).append(number)
        count = len({number for number, _ in self._found})
        head = (
            f"{self._path} has {count} line{'s' if count > 1 else ''} that no video can be made of; nothing was made:"
        )
        raise InvalidInput("\n".join([head, *(_named(numbers, said) for said, numbers in by_sentence.items())]))


class LineReader:
    """Turns lines into requests. ``defaults``: the parsed flags of the command line, for what a line leaves out."""

    def __init__(self, path: Path, defaults: argparse.Namespace) -> None:
        self._path = path
        self._parser = line_parser()
        self._defaults = defaults
        self._actions = {
            name: action
            for action in self._parser._actions
            for name in (action.dest, *(option.removeprefix("--") for option in action.option_strings))
        }

    def read(self, faults: Faults) -> list[Line]:
        """Every request of the file; what is wrong goes to ``faults``. ``InvalidInput`` for a file that is none."""
        is_json = self._path.suffix.lower() in JSON_SUFFIXES
        found = []
        for number, text in enumerate(_read_lines(self._path), start=1):
            line = text.strip()
            if not line or (not is_json and line.startswith("#")):
                continue
            try:
                fields = _fields(line) if is_json else {"prompt": _prompt(line)}
                found.append(Line(number=number, request=self.request(fields)))
            except InvalidInput as error:
                faults.add(number, str(error).removesuffix(f" (see `{self._parser.prog} --help`)"))
        if not found and not faults:
            raise InvalidInput(f"{self._path} holds no request; write one a line")
        return found

    def request(self, fields: Mapping[str, Any]) -> Request:
        """The request of one line's fields; ``InvalidInput`` says what its flag would say."""
        values, argv = copy.copy(self._defaults), list[str]()
        for name, value in _flat(fields).items():
            action = self._action(name)
            if value is None or value is False:
                setattr(values, action.dest, self._parser.get_default(action.dest))
            else:
                argv += self._words(name, action, value)
        return request_of(self._parser.parse_args(argv, namespace=values))

    def _action(self, name: str) -> argparse.Action:
        action = self._actions.get(name)
        if name in NOT_IN_A_BATCH or (action is not None and action.dest in NOT_IN_A_BATCH):
            raise InvalidInput(f'"{name}" is not for a line: every request has a run folder of its own in --output_dir')
        if name in OF_THE_WORKER:
            raise InvalidInput(f'"{name}" is not for a line: each worker has its own; give --{name} to the command')
        if action is None:
            near = get_close_matches(name, self._actions, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidInput(f'"{name[:40]}" is not a field of a request{hint}')
        return action

    def _words(self, name: str, action: argparse.Action, value: Any) -> list[str]:
        """A value as words of a command line; paths mean what they mean beside the file."""
        option = action.option_strings[0]
        if action.nargs == 0 or value is True:
            if not (action.nargs == 0 and value is True):
                raise InvalidInput(f'"{name}" takes {"true or false" if action.nargs == 0 else "no truth value"}')
            return [option]
        parts = value if isinstance(value, list) else [value]
        if not parts or not all(isinstance(part, str | int | float) and not isinstance(part, bool) for part in parts):
            raise InvalidInput(f'"{name}" takes {"one value or a list of them" if action.nargs else "one value"}')
        texts = [part if isinstance(part, str) else as_text(part)[0] for part in parts]
        if action.type is path_of or action.type is Path:
            texts = [str(_beside(self._path, text)) for text in texts]
        elif action.type is lora_of:
            texts = [lora_beside(self._path.parent, text) for text in texts]
        if action.nargs:
            return [option, *texts]
        if len(texts) > 1 and action.dest != "size":
            raise InvalidInput(f'"{name}" takes one value')
        return [f"{option}={'*'.join(texts)}"]


def line_parser() -> Parser:
    """A parser of the fields that a line may have."""
    parser = make_parser("batch", None)
    add_request_flags(Groups(parser), leave_out=NOT_IN_A_BATCH)
    return parser


def _named(numbers: Sequence[int], sentence: str) -> str:
    if len(numbers) == 1:
        return f"  line {numbers[0]}: {sentence}"
    more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
    return f"  lines {', '.join(map(str, numbers[:_MOST_NUMBERS]))}{more}: {sentence}"


def _read_lines(path: Path) -> Sequence[str]:
    check_path(path, name="the file")
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path} is not a file; give a file with one request a line")
    try:
        # not splitlines: a prompt may hold characters that it takes for the end of a line
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read as UTF-8 text ({error}); give a file with one request a line"
        ) from error


def _prompt(line: str) -> str:
    if line.startswith('{"'):
        raise InvalidInput("this is JSON, and the file is read as plain text; give it a name that ends in .jsonl")
    return line


def _fields(line: str) -> Mapping[str, Any]:
    try:
        found = parse_json(line.encode("utf-8", errors="surrogateescape"))
    except Refused as error:
        raise InvalidInput(f'{error}; a line looks like {{"prompt": "a red circle", "seed": 1}}') from error
    if not isinstance(found, dict):
        raise InvalidInput('it holds no JSON object; a line looks like {"prompt": "a red circle", "seed": 1}')
    return found


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with those of ``shortcuts``, ``weights`` and ``machine`` among them."""
    found = {name: value for name, value in fields.items() if name not in _NESTED}
    for name in _NESTED:
        nested = fields.get(name, {})
        if not isinstance(nested, dict):
            raise InvalidInput(f'"{name}" holds fields of its own: {{"{name}": {{"budget": 0.5}}}}')
        twice = sorted(found.keys() & nested.keys())
        if twice:
            raise InvalidInput(f'"{twice[0]}" stands in the line and in its "{name}"')
        found |= nested
    return found


def _beside(file: Path, path: str) -> Path:
    return Path(path) if "\0" in path else (file.parent / path).absolute()
