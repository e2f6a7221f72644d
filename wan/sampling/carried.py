"""What a run carries from step to step, as plain data, so that it can be put on disk and taken up again."""

from typing import Any, ClassVar

Tree = Any
"""Dictionaries, lists and tuples of tensors, numbers, texts, truth values, None and ``Branch``."""


class Carries:
    """Something that remembers from step to step. ``carries`` names the attributes that hold what it remembers.

    ``restore(state())`` in a new object of the same settings makes it go on as the old one would have.
    """

    __slots__ = ()
    carries: ClassVar[tuple[str, ...]] = ()

    def state(self) -> Tree:
        """What it remembers now; the tensors are its own, not copies."""
        return {name: getattr(self, name) for name in self.carries}

    def restore(self, state: Tree) -> None:
        """Remember what another one's ``state`` had."""
        for name in self.carries:
            setattr(self, name, state[name])
