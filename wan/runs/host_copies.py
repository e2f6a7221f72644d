"""Copies of tensors in host memory that cost little to renew: what has not changed is not copied again."""

import weakref
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_Shape = tuple[torch.Size, torch.dtype]


class HostCopies:
    """The copies of the newest snapshot of a run.

    The next snapshot takes over the copy of every tensor that is still the same object with the same contents (torch
    counts changes in place), and writes the others into the memory of copies that it does not need any more: memory
    that was written to before is two to three times as fast as new memory, which the system has to clear first.
    """

    def __init__(self) -> None:
        self._held: list[_Held] = []

    def of(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """A contiguous copy of each. They hold until the next call, which may write into them."""
        before = {id(one.source()): one for one in self._held if one.is_current()}
        unchanged = {id(tensor): before[id(tensor)] for tensor in tensors if id(tensor) in before}
        free: dict[_Shape, list[Tensor]] = defaultdict(list)
        for one in self._held:
            if id(one.source()) not in unchanged:
                free[_shape(one.copy)].append(one.copy)
        self._held = [unchanged.get(id(tensor)) or _Held.of(tensor, free[_shape(tensor)]) for tensor in tensors]
        return [one.copy for one in self._held]


@dataclass(frozen=True, slots=True)
class _Held:
    source: "weakref.ref[Tensor]"
    version: int
    copy: Tensor

    @classmethod
    def of(cls, tensor: Tensor, free: list[Tensor]) -> "_Held":
        copy = free.pop() if free else torch.empty(tensor.shape, dtype=tensor.dtype)
        copy.copy_(tensor.detach())
        return cls(weakref.ref(tensor), tensor._version, copy)

    def is_current(self) -> bool:
        source = self.source()
        return source is not None and source._version == self.version


def _shape(tensor: Tensor) -> _Shape:
    return tensor.shape, tensor.dtype
