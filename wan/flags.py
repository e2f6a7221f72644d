"""Command-line flags as dataclass fields: one description makes the parser, the values and the argv back again.

A field made with ``flag(...)`` is a flag of the same name. ``add_flags`` adds a class's flags to a parser,
``values_of`` reads them back from the parsed arguments, and ``argv_of`` writes the flags that an instance needs: those
whose value is not the default. So ``parse(argv_of(instance)) == instance``.
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from wan.commands import program
from wan.errors import InvalidInput
from wan.limits import finite, whole
from wan.texts import path_of

_KEY = "flag"
_CHECKED: Mapping[Any, Callable[[str], Any]] = {float: finite, int: whole, Path: path_of}
"""What reads values in place of Python's own types, which take NaN, infinity, and paths that no system has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """How a field is spelled on a command line.

    ``names``: spellings, the first one is written back; ``read`` and ``write``: text to value and value to texts.
    A field whose default is False is a switch. ``group`` is its heading in --help.
    """

    help: str
    group: str
    names: tuple[str, ...]
    read: Callable[[str], Any]
    write: Callable[[Any], Sequence[str]]
    choices: Sequence[str] | None
    metavar: str | None
    nargs: str | None


def as_text(value: Any) -> Sequence[str]:
    """Numbers so that they read back as the same number and never look like a flag (no exponent after a minus)."""
    return (format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value),)


def flag(
    default: Any,
    help: str,
    *,
    group: str,
    names: tuple[str, ...] = (),
    read: Callable[[str], Any] = str,
    write: Callable[[Any], Sequence[str]] = as_text,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
    nargs: str | None = None,
) -> Any:
    """A dataclass field that is a flag; without ``names`` it is ``--<field>``."""
    description = Flag(
        help=help,
        group=group,
        names=names,
        read=_CHECKED.get(read, read),
        write=write,
        choices=choices,
        metavar=metavar,
        nargs=nargs,
    )
    return field(default=default, metadata={_KEY: description})


class Parser(argparse.ArgumentParser):
    """argparse that reports a bad flag like every other bad input: one sentence, exit code 2."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, read in _CHECKED.items():
            self.register("type", kind, read)

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message}{self._flag_meant(message)} (see `{self.prog} --help`)")

    def _flag_meant(self, message: str) -> str:
        """For a flag that is not there, the one that it looks like."""
        kind, _, words = message.partition(": ")
        near = get_close_matches(words.split("=")[0].split(" ")[0], self._option_string_actions, n=1)
        return f"; did you mean {near[0]}?" if kind == "unrecognized arguments" and near else ""


def make_parser(command: str, description: str | None, **kwargs: Any) -> Parser:
    """The parser of one command, under the name by which its reader calls it."""
    kwargs.setdefault("usage", "%(prog)s [flags]")
    return Parser(
        prog=program(command),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        conflict_handler="resolve",  # a command may give a shared flag another form
        **kwargs,
    )


class Groups:
    """Headings of a parser's --help, made when first asked for."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser
        self._groups: dict[str, argparse._ArgumentGroup] = {}

    def order(self, *titles: str) -> None:
        """Make these headings now, in this order; one that gets no flag is not shown."""
        for title in titles:
            self[title]

    def set_default(self, name: str, value: Any) -> None:
        """What the parsed arguments hold under a name that no flag sets."""
        self._parser.set_defaults(**{name: value})

    def __getitem__(self, title: str) -> argparse._ArgumentGroup:
        if title not in self._groups:
            self._groups[title] = self._parser.add_argument_group(title)
        return self._groups[title]


def add_flags(
    groups: Groups, cls: type, *, leave_out: Collection[str] = (), only: Collection[str] | None = None
) -> None:
    """Add the flags of a dataclass, each under its heading, unset ones with the field's default.

    Fields in ``leave_out`` get no flag: they keep their default, or the command gives them another form. ``only``: the
    fields that the command has at all.
    """
    for one in _flag_fields(cls):
        if only is not None and one.name not in only:
            continue
        described: Flag = one.metadata[_KEY]
        if one.name in leave_out:
            groups.set_default(one.name, one.default)
            continue
        spelled, group = _spellings(one), groups[described.group]
        if one.default is False:
            group.add_argument(*spelled, dest=one.name, action="store_true", help=described.help)
            continue
        group.add_argument(
            *spelled,
            dest=one.name,
            type=described.read,
            default=one.default,
            choices=described.choices,
            metavar=described.metavar,
            nargs=described.nargs,
            help=described.help,
        )


def with_whole_paths(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The same words, with every path that follows a flag for paths as one that means the same in every folder.

    A reader of another kind of text with a path in it has ``whole``, a function that makes that path whole.
    """
    makers: dict[str, Callable[[str], str]] = {}
    for action in parser._actions:
        whole_of = _whole_path if action.type in (Path, path_of) else getattr(action.type, "whole", None)
        makers |= dict.fromkeys(action.option_strings, whole_of) if whole_of else {}
    words, make = [], None
    for word in argv:
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            make = makers.get(name)
            words.append(f"{name}={make(value)}" if make and equals else word)
        else:
            words.append(make(word) if make else word)
    return words


def _whole_path(text: str) -> str:
    return str(Path(text).absolute())


def values_of(cls: type, args: argparse.Namespace) -> dict[str, Any]:
    """The parsed values of a dataclass's flags by field; lists become tuples."""
    values = {one.name: getattr(args, one.name) for one in _flag_fields(cls)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def argv_of(instance: Any) -> list[str]:
    """The flags that make ``instance``, without those that have their default value."""
    argv: list[str] = []
    for one in _flag_fields(type(instance)):
        value = getattr(instance, one.name)
        if value != one.default:
            argv += _spell(one, value)
    return argv


def data_of(instance: Any) -> dict[str, Any]:
    """The fields of ``instance`` that have not their default, as plain data that ``value_from_data`` reads back."""
    found: dict[str, Any] = {}
    for one in _flag_fields(type(instance)):
        value = getattr(instance, one.name)
        if value == one.default:
            continue
        texts = [value] if isinstance(value, bool | int | float) else list(one.metadata[_KEY].write(value))
        found[one.name] = texts if one.metadata[_KEY].nargs else texts[0]
    return found


def field_names(cls: type) -> tuple[str, ...]:
    """The fields of a dataclass that are flags."""
    return tuple(one.name for one in _flag_fields(cls))


def value_from_data(cls: type, name: str, data: Any) -> Any:
    """The value of one flag from plain data (a number, a text or a list of a YAML file), checked as its flag checks
    text; ValueError says what it takes."""
    (one,) = (one for one in _flag_fields(cls) if one.name == name)
    described: Flag = one.metadata[_KEY]
    if isinstance(one.default, bool) or isinstance(data, bool):
        if not (isinstance(one.default, bool) and isinstance(data, bool)):
            wanted = "true or false" if isinstance(one.default, bool) else "no truth value (write words in quotes)"
            raise ValueError(f"it takes {wanted}")
        return data
    if described.nargs:
        return tuple(_read(described, part) for part in (data if isinstance(data, list) else [data]))
    return _read(described, data)


def _read(described: Flag, data: Any) -> Any:
    if not isinstance(data, int | float | str):
        raise ValueError(f"it takes one value, not {type(data).__name__}")
    try:
        value = described.read(str(data))
    except (argparse.ArgumentTypeError, ValueError) as error:
        said = str(error) if isinstance(error, argparse.ArgumentTypeError) else f"it is no {described.read.__name__}"
        raise ValueError(said) from None
    if described.choices and value not in described.choices:
        raise ValueError(f"choose one of {', '.join(described.choices)}")
    return value


def _spell(one: Field[Any], value: Any) -> list[str]:
    name = _spellings(one)[0]
    if value is True:
        return [name]
    texts = list(one.metadata[_KEY].write(value))
    # a value that begins like a flag has to be joined to its own
    return [f"{name}={texts[0]}"] if len(texts) == 1 and texts[0].startswith("-") else [name, *texts]


def _spellings(one: Field[Any]) -> tuple[str, ...]:
    return one.metadata[_KEY].names or (f"--{one.name}",)


def _flag_fields(cls: type) -> list[Field[Any]]:
    return [one for one in fields(cls) if _KEY in one.metadata]
