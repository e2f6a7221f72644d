"""The resume file of a run: a snapshot between two steps as safetensors, replaced in place by the next one.

The tensors are stored as they are; everything else of the snapshot is JSON in the header, which says where the tensors
stand. Nothing in it is executed when it is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path
from wan.runs.host_copies import HostCopies
from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import MALFORMED, Refused, reason_of
from wan.untrusted.safetensors_header import read_header

STATE_NAME = "resume.safetensors"
_TREE, _RUN = "state", "run"
_DAMAGE: tuple[type[Exception], ...] = (SafetensorError, Refused, *MALFORMED)


@dataclass(frozen=True, slots=True)
class Packed:
    """A tree of dictionaries, lists, tuples, tensors and plain values as it was at one moment: a copy, in host
    memory."""

    described: str
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, tree: Any, *, copies: HostCopies) -> Self:
        """Copies the tensors into ``copies``, whose next use ends this one's life; TypeError for a value that no state
        may hold."""
        tensors = _Tensors()
        described = json.dumps(_described(tree, tensors))
        return cls(described, {str(number): copy for number, copy in enumerate(copies.of(tensors.seen))})

    def write(self, path: Path, *, run: str) -> None:
        """Replace ``path``; OSError when that fails. Other threads go on meanwhile.

        ``run`` names what the state belongs to: ``load_state`` refuses it for anything else.
        """
        with atomic_path(path) as temporary:
            try:
                save_file(dict(self.tensors), temporary, metadata={_TREE: self.described, _RUN: run})
            except SafetensorError as error:  # the library's word for a disk that is full
                raise OSError(str(error)) from error


def load_state(path: Path, *, device: torch.device, run: str | None = None) -> Any:
    """The tree that was written, its tensors where they were: on ``device``, or in host memory.

    InvalidInput when the file is damaged, or belongs to another run than ``run``.
    """
    try:
        header = read_header(path).metadata
        if run is not None and header.get(_RUN) != run:
            raise InvalidInput(f"{path} is not the resume file of this run; put the right one there, or remove it")
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        return _made(parse_json(header[_TREE].encode()), tensors, device)
    except InvalidInput:
        raise
    except _DAMAGE as error:
        raise InvalidInput(
            f"{path} is damaged ({reason_of(error)}): remove it, and the run begins again at its first step"
        ) from error


class _Tensors:
    """Every tensor once, numbered."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self.seen: list[Tensor] = []

    def number(self, tensor: Tensor) -> int:
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.seen)
            self.seen.append(tensor)
        return self._numbers[id(tensor)]


def _described(value: Any, tensors: _Tensors) -> Any:
    if isinstance(value, Tensor):
        return {"tensor": tensors.number(value), "in_host_memory": value.device.type == "cpu"}
    if isinstance(value, Mapping):
        return {"items": [[_described(key, tensors), _described(entry, tensors)] for key, entry in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_described(entry, tensors) for entry in value]}
    if isinstance(value, float) and not isfinite(value):
        return {"float": repr(value)}  # JSON has no infinity
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be put into a resume file: {value!r}")


def _made(described: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
    if not isinstance(described, dict):
        return described
    if "tensor" in described:
        tensor = tensors[str(described["tensor"])]
        return tensor if described["in_host_memory"] else tensor.to(device)
    if "float" in described:
        return float(described["float"])
    if "items" in described:
        return {_made(key, tensors, device): _made(entry, tensors, device) for key, entry in described["items"]}
    kind = tuple if "tuple" in described else list
    return kind(_made(entry, tensors, device) for entry in described[kind.__name__])
