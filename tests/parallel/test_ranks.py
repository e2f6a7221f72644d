"""What torchrun says in the environment."""

import pytest

from wan.errors import InvalidInput
from wan.parallel.ranks import Ranks, ranks_here


def test_one_process_alone() -> None:
    assert ranks_here({}) == ranks_here({"RANK": "1"}) == Ranks() and Ranks().leads


def test_a_process_of_a_group() -> None:
    here = ranks_here({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert here == Ranks(rank=5, size=8, local=1) and not here.leads


@pytest.mark.parametrize("rank", ["8", "-1", "one"])
def test_what_torchrun_never_sets_is_refused(rank: str) -> None:
    with pytest.raises(InvalidInput, match=f"RANK={rank}, WORLD_SIZE=8, LOCAL_RANK=0 in the environment is no process"):
        ranks_here({"RANK": rank, "WORLD_SIZE": "8"})
