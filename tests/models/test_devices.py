"""Devices: the automatic choice, the refusals, and out of memory as a sentence."""

import pytest
import torch

from wan.errors import InvalidInput, OutOfMemory
from wan.models.devices import explained_out_of_memory, pick_device


def test_the_automatic_device_exists() -> None:
    torch.zeros(1, device=pick_device())
    assert pick_device("auto") == pick_device(None)
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("name", "sentence"), [("toaster", "is not a device name"), ("cuda:99", "is not here")])
def test_an_absent_device_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        pick_device(name)


def test_out_of_memory_names_what_to_change() -> None:
    @explained_out_of_memory()
    def run() -> None:
        raise torch.OutOfMemoryError("Tried to allocate 12.00 GiB.\nmore lines")

    with pytest.raises(OutOfMemory, match=r"Tried to allocate 12.00 GiB.\); try --offload group"):
        run()
