"""NaN and infinity in weights, looked for where that is cheap (the small tensors) or, when asked, everywhere."""

from typing import Any

import torch
from torch import Tensor

from wan.errors import CheckpointError
from wan.loading.component import Component
from wan.untrusted.refusal import shown
from wan.untrusted.tensor_entry import WEIGHT_DTYPES

SMALL_BYTES = 2**18
"""A tensor of at most so many bytes is small: norms, biases and modulations of every published size."""
SMALL_FILE_BYTES = 32 * 2**20
"""Files of a component that have no more than this together are read whole."""


def check_numbers(component: Component[Any], *, read_all: bool = False) -> None:
    """``CheckpointError`` for a parameter with a value that is not finite; reads the small tensors, or all of them."""
    weights = component.weights
    read_all = read_all or sum(file.stat().st_size for file in weights.files) <= SMALL_FILE_BYTES
    for name in {source.name: None for source in component.key_map.values()}:
        if not read_all and weights.entries[name].byte_count > SMALL_BYTES:
            continue
        if weights.entries[name].dtype not in WEIGHT_DTYPES:
            continue  # blocks of a GGUF file: every byte of them is a number
        tensor = weights.read(name)
        if not _is_finite(tensor):
            raise CheckpointError(
                f"{component.place}: {shown(name)} holds values that are not finite (NaN or infinity), and every step "
                "would be; download it again"
            )


def _is_finite(tensor: Tensor) -> bool:
    # fp8 has no test of its own; min and max pass NaN on, and need no copy of the size of the tensor
    numbers = tensor.float() if tensor.dtype.itemsize == 1 else tensor
    return bool(torch.isfinite(torch.stack(torch.aminmax(numbers))).all())
