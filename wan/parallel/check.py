"""``--check_parallel``: the first step's velocities against those that this rank computes by itself."""

from typing import Any

from torch import Tensor

from wan.errors import NumericalError
from wan.models.cache import WrapDenoiser
from wan.parallel.sequence import NOBODY, SharedSequence
from wan.sampling.carried import Carries, Tree
from wan.sampling.plan import Step
from wan.sampling.protocols import Contexts, Denoiser, Velocities

TOLERANCES = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest error allowed, as a share of the largest velocity: rounding is far below it, wrong attention far above."""


class FirstStepChecked:
    """Wraps the denoisers of one run; the first step that any of them computes is computed twice."""

    def __init__(self, sequence: SharedSequence, *, tolerance: float, counter: Carries) -> None:
        """``counter``: what counts forwards, and is to count none of these."""
        self._sequence = sequence
        self._tolerance = tolerance
        self._counter = counter
        self._is_done = False

    def wrap(self, inner: WrapDenoiser) -> WrapDenoiser:
        """The same cache around the denoisers, with the check inside it."""
        return lambda denoiser: inner(_Checked(denoiser, self))

    def check(
        self, denoiser: Denoiser, found: Velocities, hidden_states: Tensor, timestep: Tensor, contexts: Contexts
    ) -> None:
        """``NumericalError`` when the ranks together found something else than one alone."""
        if self._is_done:
            return
        self._is_done, counted = True, self._counter.state()
        counted = {name: value.copy() if hasattr(value, "copy") else value for name, value in counted.items()}
        with self._sequence.among(NOBODY):
            alone = denoiser.predict_beside(hidden_states, timestep, contexts)
        self._counter.restore(counted)
        for branch, velocity in alone.items():
            error = float((found[branch] - velocity).abs().max() / velocity.abs().max())
            if not error <= self._tolerance:
                raise NumericalError(
                    f"--check_parallel: the {branch.value} velocity of the first step differs from one GPU's by "
                    f"{error:.2g} of its largest value, more than {self._tolerance:g}; make the video on one GPU, and "
                    "report the versions of torch, diffusers and the driver"
                )


class _Checked:
    def __init__(self, denoiser: Denoiser, checks: FirstStepChecked) -> None:
        self._denoiser = denoiser
        self._checks = checks

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        found = self._denoiser.predict(step, hidden_states, timestep, contexts)
        self._checks.check(self._denoiser, found, hidden_states, timestep, contexts)
        return found

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        return self._denoiser.predict_beside(hidden_states, timestep, contexts)

    def state(self) -> Tree:
        return self._denoiser.state()

    def restore(self, state: Any) -> None:
        self._denoiser.restore(state)
