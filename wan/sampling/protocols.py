"""What sampling asks of the networks: a denoiser that evaluates explicit branches, and experts that hand one out."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from wan.sampling.guidance import Branch
from wan.sampling.plan import Stage

Contexts = Mapping[Branch, Tensor]
"""Text embeddings (B, T, D) per branch."""


class Denoiser(Protocol):
    """One expert, on the device."""

    def predict(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> dict[Branch, Tensor]:
        """One velocity (B, C, F, h, w), float32, for each of the branches in ``contexts``, and for no other."""


class Experts(Protocol):
    """Hands out the denoiser of a stage."""

    def resident(self, stage: Stage) -> AbstractContextManager[Denoiser]:
        """The stage's expert on its device for the length of the block, with empty caches."""
