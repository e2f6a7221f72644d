"""How far a run's latents drift from the baseline's, step by step: one is kept on disk, the other compared to it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from wan.sampling.observers import Observer, StepEvent

FRAME_AXIS = 1


@dataclass(frozen=True, slots=True)
class StepStore(Observer):
    """Writes the latents after every step into a folder; nothing is kept in memory."""

    folder: Path

    def on_step_end(self, event: StepEvent) -> None:
        np.save(self.path(event.step.index), _as_array(event.latents_out))

    def path(self, index: int) -> Path:
        return self.folder / f"after_step_{index}.npy"


@dataclass(slots=True)
class Divergence(Observer):
    """RMS difference from the stored run after every step, relative to that run's RMS.

    A step that works on fewer latent frames is compared on the frames it has: 0, 2, 4, ... of the stored ones.
    """

    store: StepStore
    values: list[float] = field(default_factory=list)

    def on_step_end(self, event: StepEvent) -> None:
        reference = np.load(self.store.path(event.step.index))
        self.values.append(relative_difference(_as_array(event.latents_out), reference))


def relative_difference(latents: np.ndarray, reference: np.ndarray) -> float:
    """RMS(latents - reference) / RMS(reference) of (C, F, h, w), on the frames that both have."""
    if latents.shape[FRAME_AXIS] != reference.shape[FRAME_AXIS]:
        reference = reference[:, ::2]
    difference = np.square(latents - reference).mean(dtype=np.float64)
    size = np.square(reference).mean(dtype=np.float64)
    return float(np.sqrt(difference / size)) if size else 0.0


def _as_array(latents: Tensor) -> np.ndarray:
    return latents[0].float().cpu().numpy()
