"""What torchrun says in the environment."""

import pytest
import torch

from wan.errors import InvalidInput
from wan.parallel.group import team_device
from wan.parallel.ranks import Ranks, ranks_here


def test_one_process_alone() -> None:
    assert ranks_here({}) == ranks_here({"RANK": "1"}) == Ranks() and Ranks().leads


def test_a_process_of_a_group() -> None:
    here = ranks_here({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"})
    assert here == Ranks(rank=5, size=8, local=1, beside=4) and not here.leads


@pytest.mark.parametrize("rank", ["8", "-1", "one"])
def test_what_torchrun_never_sets_is_refused(rank: str) -> None:
    with pytest.raises(InvalidInput, match=f"RANK={rank}, WORLD_SIZE=8, LOCAL_RANK=0, LOCAL_WORLD_SIZE=8 in the"):
        ranks_here({"RANK": rank, "WORLD_SIZE": "8"})


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wan.parallel.group.pick_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert team_device(None, Ranks(rank=1, size=2, local=1, beside=2)) == torch.device("cuda", 1)
    with pytest.raises(InvalidInput, match="4 processes on this machine need as many GPUs, and it has 2; start 2 with"):
        team_device(None, Ranks(rank=1, size=4, local=1, beside=4))


def test_a_device_that_is_one_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wan.parallel.group.pick_device", lambda name: torch.device("mps"))
    with pytest.raises(InvalidInput, match="--device mps is one device, which several processes cannot share; use"):
        team_device(None, Ranks(size=2, beside=2))
