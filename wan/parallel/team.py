"""The processes that make one video together: who leads, what all of them get from it, and their process groups."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from wan.parallel.ranks import Ranks
from wan.parallel.sharing import NOTHING, Sharing

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """This process among those of its group, which is running; ``device`` is where it computes."""

    ranks: Ranks
    sharing: Sharing
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process reports, writes and decodes."""
        return self.ranks.leads

    @property
    def is_alone(self) -> bool:
        return self.ranks.size == 1

    def from_leader(self, make: Callable[[], Value]) -> Value:
        """What ``make`` gives on rank 0, on every rank and on its device; the other ranks do not call it.

        All ranks must call this in the same order. It is sent as bytes, through host memory.
        """
        if self.is_alone:
            return make()
        sent = [_packed(make()) if self.leads else None]
        dist.broadcast_object_list(sent, src=0, device=torch.device("cpu"))
        return _unpacked(sent[0], self.device)

    def gathered(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on rank 0; nothing on the others. All ranks must call this."""
        if self.is_alone:
            return [value]
        found: list[Any] | None = [None] * self.ranks.size if self.leads else None
        dist.gather_object(_packed(value), found, dst=0)
        return [_unpacked(one, torch.device("cpu")) for one in found or ()]

    def mesh(self, *shape: int, names: tuple[str, ...]) -> DeviceMesh:
        """All ranks as a grid; all of them must ask for it in the same order."""
        return init_device_mesh(self.device.type, shape, mesh_dim_names=names)


ALONE = Team(ranks=Ranks(), sharing=NOTHING, device=torch.device("cpu"))
"""One process, which leads and shares nothing; its device is never asked for."""


def _packed(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _unpacked(sent: Any, device: torch.device) -> Any:
    # it comes from a process of this very run
    return torch.load(io.BytesIO(sent), map_location=device, weights_only=False)
