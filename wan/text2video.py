"""WanT2V: text to video (and to one image), with the official constructor and ``generate``."""

from collections.abc import Sequence
from typing import Unpack

from torch import Tensor

from wan.pipeline import Pipeline
from wan.sampling.geometry import geometry_for
from wan.sampling.observers import Observer
from wan.settings import settings_from
from wan.shortcuts import ShortcutArgs, shortcuts_from


class WanT2V(Pipeline):
    """Text to video: Wan2.2 t2v-A14B, Wan2.1 t2v-14B, t2v-1.3B and t2i-14B."""

    entry = "WanT2V"

    def generate(
        self,
        input_prompt: str,
        size: tuple[int, int] = (1280, 720),
        frame_num: int = 81,
        shift: float = 5.0,
        sample_solver: str = "unipc",
        sampling_steps: int = 50,
        guide_scale: float | tuple[float, float] = 5.0,
        n_prompt: str = "",
        seed: int = -1,
        offload_model: bool = True,
        *,
        observers: Sequence[Observer] = (),
        **shortcuts: Unpack[ShortcutArgs],
    ) -> Tensor:
        """A video (3, N, H, W) in [-1, 1]; the official parameters, then the shortcuts (all off by default).

        ``size`` is (width, height) in pixels, ``guide_scale`` (low noise, high noise), ``seed`` -1 a random one;
        ``frame_num`` is brought to the nearest 4n+1. Raises ``InvalidInput`` for what cannot be planned.
        """
        settings = settings_from(
            self.config,
            solver=sample_solver,
            steps=sampling_steps,
            shift=shift,
            guide_scale=guide_scale,
            shortcuts=shortcuts_from(shortcuts),
        )
        return self._make(
            input_prompt,
            n_prompt,
            geometry=geometry_for(self.config, size=size, frame_num=frame_num),
            settings=settings,
            seed=seed,
            offload_model=offload_model,
            observers=observers,
        )
