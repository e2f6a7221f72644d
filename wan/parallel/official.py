"""The official constructor's parameters for several GPUs: ``rank``, ``use_sp``, ``dit_fsdp``, ``t5_fsdp``."""

import torch
import torch.distributed as dist

from wan.errors import InvalidInput
from wan.parallel.ranks import Ranks
from wan.parallel.sharing import Sharing
from wan.parallel.team import ALONE, Team


def official_team(rank: int, t5_fsdp: bool, dit_fsdp: bool, use_sp: bool, *, device: torch.device) -> Team:
    """The team that a caller's own process group makes, which shares the sequence (``use_sp``) over all its ranks.

    ``InvalidInput`` when there is no group, when ``rank`` is another, or when nothing is shared but weights.
    """
    asked = [name for name, value in {"use_sp": use_sp, "dit_fsdp": dit_fsdp, "t5_fsdp": t5_fsdp}.items() if value]
    if not asked and not rank:
        return ALONE
    named = ", ".join(asked) or f"rank={rank}"
    if not (dist.is_available() and dist.is_initialized()):
        raise InvalidInput(
            f"{named} needs several processes: start them with torchrun and call torch.distributed.init_process_group "
            "before, or leave it out"
        )
    here = Ranks(rank=dist.get_rank(), size=dist.get_world_size(), local=device.index or 0)
    if rank != here.rank:
        raise InvalidInput(f"rank={rank} is not this process's rank in its group, which is {here.rank}; give that")
    if here.size == 1:
        return ALONE
    if not use_sp:
        raise InvalidInput(f"{named} without use_sp makes the same video {here.size} times; give use_sp=True too")
    return Team(ranks=here, sharing=Sharing(sequence=here.size, experts=dit_fsdp, text=t5_fsdp), device=device)
