"""``--check_parallel`` stops a run whose first step is not what one process computes, and adds to no count."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.toy import toy_plan
from wan.errors import NumericalError
from wan.models.cache import as_it_is
from wan.parallel.check import FirstStepChecked
from wan.parallel.sequence import NOBODY
from wan.sampling.guidance import Branch
from wan.sampling.observers import ForwardCounter
from wan.sampling.plan import Step
from wan.sampling.protocols import Contexts, Velocities

CONTEXTS = {branch: torch.zeros(1, 1, 1) for branch in Branch}


class Sequence:
    """Knows whether its ranks share."""

    is_alone = False

    @contextmanager
    def among(self, sharers: Any) -> Iterator[None]:
        self.is_alone = sharers is NOBODY
        yield
        self.is_alone = False


class Ranks:
    """A denoiser whose ranks together are wrong by ``error``."""

    def __init__(self, sequence: Sequence, counter: ForwardCounter, error: float) -> None:
        self._sequence, self._counter, self._error = sequence, counter, error

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        return self.predict_beside(hidden_states, timestep, contexts)

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        for branch in contexts:
            self._counter("single", branch, 4)
        return {
            branch: torch.full((1, 2), 2.0 + 2.0 * self._error * (not self._sequence.is_alone)) for branch in contexts
        }

    def state(self) -> None:
        return None

    def restore(self, state: None) -> None:
        pass


def checked(error: float) -> ForwardCounter:
    sequence, counter = Sequence(), ForwardCounter()
    checks = FirstStepChecked(sequence, tolerance=1e-4, counter=counter)  # type: ignore[arg-type]
    denoiser = checks.wrap(as_it_is)(Ranks(sequence, counter, error))
    for step in toy_plan().steps[:3]:
        denoiser.predict(step, torch.zeros(1, 2), torch.zeros(1), CONTEXTS)
    return counter


def test_rounding_passes_and_is_not_counted() -> None:
    assert checked(5e-5).total == 6


@pytest.mark.parametrize("error", [2e-4, float("nan")])
def test_another_velocity_stops_the_run(error: float) -> None:
    with pytest.raises(NumericalError, match="--check_parallel: the cond velocity of the first step differs from one"):
        checked(error)
