"""Fits the weights of a plan: a solver that chooses every step's weights on the states that the plan itself reaches.

At a step the next state is wanted as a combination of the run's noise and the denoised estimates so far. The weights
are those of least squares over all tuning clips, against the recorded state at the next sigma; the step is made with
them, so that the following fits see the errors of the earlier ones (closed loop).
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from wan.sampling.carried import Carries
from wan.sampling.guidance import Branch
from wan.sampling.plan import Step
from wan.sampling.protocols import Contexts, Denoiser, Velocities
from wan.sampling.solvers import FrameMap
from wan.sampling.update import LinearUpdate
from wan.tune.recording import Recording

RIDGE = 1e-5
"""Relative ridge: estimates of neighbouring steps are nearly the same, and large opposite weights would not carry."""

_PART = 2**20


def least_squares(features: Sequence[Tensor], target: Tensor, *, ridge: float = RIDGE) -> list[float]:
    """Weights w that minimise |sum w_i f_i - target|^2 + ridge * sum (w_i |f_i|)^2; all of one shape."""
    products = inner_products([*features, target])
    gram, right = products[:-1, :-1], products[:-1, -1]
    scale = gram.diagonal().sqrt().clamp(min=torch.finfo(torch.float64).tiny)  # a feature of zeros gets no weight
    system = gram / scale[:, None] / scale[None, :] + ridge * torch.eye(len(features), dtype=torch.float64)
    weights: list[float] = (torch.linalg.solve(system, right / scale) / scale).tolist()
    return weights


def inner_products(tensors: Sequence[Tensor]) -> Tensor:
    """(n, n) inner products of n tensors of one shape, in float64 on the CPU; a part at a time, because n videos in
    float64 need more memory than a device may have."""
    rows = [tensor.flatten() for tensor in tensors]
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for start in range(0, rows[0].numel(), _PART):
        part = torch.stack([row[start : start + _PART] for row in rows]).double()
        total += (part @ part.T).cpu()
    return total


class FittingSolver(Carries):
    """A solver for one run of all tuning clips; ``updates`` are the weights it chose."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._features: list[Tensor] = []
        self.updates: list[LinearUpdate] = []

    def step(self, latents: Tensor, velocity: Tensor, step: Step, delta: Tensor | None = None) -> Tensor:
        """Fit, then step."""
        assert delta is not None, "a plan is tuned with both guidance passes at every step"
        if not self._features:
            self._features.append(latents)
        self._features += [latents - step.sigma * velocity, step.sigma * delta]
        target = self._recording.state_at(step.sigma_next).to(latents.device)
        noise, *weights = least_squares(self._features, target)
        update = LinearUpdate(noise=noise, denoised=tuple(weights[::2]), differences=tuple(weights[1::2]))
        self.updates.append(update)
        return sum((w * f for w, f in zip([noise, *weights], self._features, strict=True)), torch.zeros_like(latents))

    def denoised(self) -> Tensor:
        return self._features[-2]

    def map_frames(self, frame_map: FrameMap) -> None:
        self._features = [frame_map(feature) for feature in self._features]

    def restart(self) -> None:
        raise NotImplementedError("a fit has one history")


class SharedPrefixes:
    """Velocities of earlier trials: plans that begin with the same sigmas reach the same states.

    ``wrap`` puts it around a stage's denoiser.
    """

    def __init__(self, sigmas: Sequence[float], kept: "Kept") -> None:
        self._sigmas = tuple(sigmas)
        self._kept = kept

    def wrap(self, denoiser: Denoiser) -> Denoiser:
        return _Remembered(denoiser, self._sigmas, self._kept)


class Kept:
    """The velocities of the ``capacity`` prefixes of sigmas that were used last; ``forwards`` counts computed ones."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._velocities: OrderedDict[tuple[float, ...], dict[Branch, Tensor]] = OrderedDict()
        self.forwards = 0

    def get(self, prefix: tuple[float, ...]) -> dict[Branch, Tensor] | None:
        """None for a prefix that is not kept."""
        found = self._velocities.get(prefix)
        if found is not None:
            self._velocities.move_to_end(prefix)
        return found

    def put(self, prefix: tuple[float, ...], velocities: dict[Branch, Tensor]) -> None:
        """Keep; the prefix that was not used for the longest time goes."""
        self._velocities[prefix] = velocities
        while len(self._velocities) > self._capacity:
            self._velocities.popitem(last=False)


class _Remembered(Carries):
    def __init__(self, denoiser: Denoiser, sigmas: tuple[float, ...], kept: Kept) -> None:
        self._denoiser = denoiser
        self._sigmas = sigmas
        self._kept = kept

    def predict(self, step: Step, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        prefix = self._sigmas[: step.index + 1]
        found = self._kept.get(prefix)
        if found is None:
            found = self._denoiser.predict(step, hidden_states, timestep, contexts)
            self._kept.put(prefix, found)
            self._kept.forwards += len(contexts) * hidden_states.shape[0]
        return found

    def predict_beside(self, hidden_states: Tensor, timestep: Tensor, contexts: Contexts) -> Velocities:
        return self._denoiser.predict_beside(hidden_states, timestep, contexts)
