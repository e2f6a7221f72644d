"""What sampling asks of the networks: a denoiser that evaluates explicit branches, and experts that hand one out."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from torch import Tensor

from wan.sampling.carried import Tree
from wan.sampling.guidance import Branch
from wan.sampling.plan import Stage, Step

Contexts = Mapping[Branch, Tensor]
"""Text embeddings (B, T, D) per branch."""

Velocities = dict[Branch, Tensor]
"""Velocities (B, C, F, h, w), float32, per branch."""


class Denoiser(Protocol):
    """One expert, on the device, for the length of one stage."""

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """The velocities of a step of the plan, for each of the branches in ``contexts``, and for no other."""

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        """The same for an instrument: computed in full, and leaving no trace in what ``predict`` returns later."""

    def state(self) -> Tree:
        """What its caches remember, as ``wan.sampling.carried`` describes it."""

    def restore(self, state: Tree) -> None:
        """Remember what the denoiser of an interrupted run had remembered at this step."""


class Experts(Protocol):
    """Hands out the denoiser of a stage."""

    def resident(self, stage: Stage) -> AbstractContextManager[Denoiser]:
        """The stage's expert on its device for the length of the block, with empty caches."""
