"""YAML whose mappings know their line, so that a sentence about a mistake can name it."""

from pathlib import Path
from typing import Any

import yaml

from wan.errors import InvalidInput


class Mapping(dict[str, Any]):
    """A mapping of a YAML file; ``line`` is where it begins, counted from 1."""

    line: int = 0


class _Loader(yaml.SafeLoader):
    """Safe YAML with lines, and without keys that stand twice."""


def _construct(loader: _Loader, node: yaml.MappingNode) -> Mapping:
    found = Mapping()
    found.line = node.start_mark.line + 1
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _construct)


def read_yaml(path: Path) -> Mapping:
    """The mapping that a YAML file holds; ``InvalidInput`` names file, line and rule."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--suite {path} cannot be read as UTF-8 text ({error}); give a YAML file") from error
    try:
        found = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{path}, line {line}: {error.problem}; it must be valid YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidInput(f"{path}, line {line}: {error.reason} (U+{ord(text[error.position]):04X})") from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        # a date that is none, a list as a key, a thousand brackets
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{path} cannot be read: {reason}; it must be a plain YAML file") from error
    if not isinstance(found, Mapping):
        raise InvalidInput(f"{path}, line 1: a suite is a mapping with the keys prompts, seeds and methods")
    return found
