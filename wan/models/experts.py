"""The experts of a model: fetched when a stage needs them, on the device while it runs, put away after."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers import WanTransformer3DModel

from wan.models.denoiser import Evaluate, OnForward, WanDenoiser
from wan.sampling.plan import Expert, Stage

LoadExpert = Callable[[Expert], WanTransformer3DModel]


class ExpertPool:
    """Hands out the denoiser of a stage; ``rest_device`` is where an expert goes when its stage ends."""

    def __init__(
        self,
        load: LoadExpert,
        *,
        device: torch.device,
        rest_device: torch.device,
        evaluate: Evaluate,
        on_forward: OnForward,
    ) -> None:
        self._load = load
        self._device = device
        self._rest_device = rest_device
        self._evaluate = evaluate
        self._on_forward = on_forward

    @contextmanager
    def resident(self, stage: Stage) -> Iterator[WanDenoiser]:
        """The stage's expert on the device for the length of the block."""
        model = self._load(stage.expert).to(self._device)
        try:
            yield WanDenoiser(model, expert=stage.expert, evaluate=self._evaluate, on_forward=self._on_forward)
        finally:
            model.to(self._rest_device)
