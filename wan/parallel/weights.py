"""FSDP: every rank keeps a part of the blocks' weights and gathers a block when it computes (PyTorch's fully_shard).

A rank reads only its own part of every tensor from the mapped files, so that N processes on one machine hold one copy
in the system's file cache, and no rank ever has a whole model.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


class SpreadOverRanks:
    """A ``wan.loading.component.Spread``: splits a model's blocks, and everything else as one more part."""

    def __init__(self, mesh: DeviceMesh, blocks_of: Callable[[nn.Module], Iterable[nn.Module]]) -> None:
        """``mesh``: all ranks along one axis."""
        self._mesh = mesh
        self._blocks_of = blocks_of

    def split(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Before the model has weights."""
        for block in self._blocks_of(model):
            fully_shard(block, mesh=self._mesh)

    def place(self, name: str, tensor: Tensor, like: Tensor, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A whole parameter, backed by its file, as the part that this rank keeps."""
        if not isinstance(like, DTensor):
            return tensor.to(device=device, dtype=dtype)
        # without a source rank nothing is sent: every rank cuts its own part out
        part = distribute_tensor(tensor, self._mesh, like.placements, src_data_rank=None).to_local()
        own = part.to(device=device, dtype=dtype)
        own = own.clone() if own.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr() else own
        return DTensor.from_local(own, self._mesh, like.placements, shape=like.shape, stride=like.stride())


def denoiser_blocks(model: nn.Module) -> Iterable[nn.Module]:
    """Of a WanTransformer3DModel."""
    return model.blocks  # type: ignore[return-value]


def text_blocks(model: nn.Module) -> Iterable[nn.Module]:
    """Of a UMT5EncoderModel."""
    return model.encoder.block  # type: ignore[union-attr, return-value]
