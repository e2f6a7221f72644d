"""Which process of a group this one is, as torchrun says in the environment; imports no torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wan.errors import InvalidInput

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """``rank`` of ``size`` processes; ``local``: its number among the ``beside`` processes of this machine, which is
    that of its device."""

    rank: int = 0
    size: int = 1
    local: int = 0
    beside: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that reports, writes and decodes."""
        return self.rank == 0


def ranks_here(environment: Mapping[str, str] = os.environ) -> Ranks:
    """What torchrun's environment says; one process alone without it. ``InvalidInput`` for what it never sets."""
    if "WORLD_SIZE" not in environment or "RANK" not in environment:
        return Ranks()
    given = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": environment["WORLD_SIZE"], **environment}
    texts = [given[name] for name in _NAMES]
    if not all(text.isdecimal() for text in texts) or not int(texts[0]) < int(texts[1]):
        named = ", ".join(f"{name}={text}" for name, text in zip(_NAMES, texts, strict=True))
        raise InvalidInput(f"{named} in the environment is no process of a group; start the group with torchrun")
    rank, size, local, beside = map(int, texts)
    return Ranks(rank=rank, size=size, local=local, beside=beside)
