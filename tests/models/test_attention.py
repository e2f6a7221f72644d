"""Attention backends: what works everywhere, and the refusal of what cannot work here."""

import pytest
import torch

from wan.errors import InvalidInput
from wan.machine import ATTENTIONS
from wan.models.attention import BACKENDS, check_attention

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_flag_and_the_table_name_the_same() -> None:
    assert ("auto", *BACKENDS) == ATTENTIONS


@pytest.mark.parametrize("name", ["auto", "native"])
def test_what_works_everywhere(name: str) -> None:
    check_attention(name, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "device", "dtype", "sentence"),
    [
        ("fast", CPU, torch.float32, "--attention 'fast' is unknown"),
        ("flash", CPU, torch.bfloat16, "on a CUDA device, not in bfloat16 on cpu"),
        ("sage", CUDA, torch.float32, "not in float32 on cuda"),
        ("xformers", CUDA, torch.bfloat16, "--attention xformers cannot be used here"),
    ],
)
def test_what_cannot_work_is_refused(name: str, device: torch.device, dtype: torch.dtype, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        check_attention(name, device=device, dtype=dtype)
