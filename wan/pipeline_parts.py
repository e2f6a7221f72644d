"""What a pipeline is made of: the text source, the VAE and the stores of experts of one checkpoint."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from wan.loading.layouts import Checkpoint
from wan.loading.lora_files import LoraFile
from wan.loading.models import load_vae, prepare_expert
from wan.loading.text_source import TextSource
from wan.models.prefetch import ExpertStores
from wan.models.vae import VideoVAE
from wan.parallel.crew import Crew
from wan.parallel.team import Team
from wan.pipeline_checks import at_least, may_prefetch
from wan.weight_options import WeightOptions


@dataclass(frozen=True, slots=True)
class Parts:
    """Makes the parts; ``dtype`` is that of the denoisers."""

    checkpoint: Checkpoint
    team: Team
    crew: Crew
    dtype: torch.dtype
    device: torch.device

    def texts(self, device: torch.device, *, cache_dir: Path | None) -> TextSource:
        """Reads the text encoder to a device of its own."""
        return TextSource(
            self.checkpoint,
            dtype=at_least(torch.bfloat16, self.dtype),
            device=device,
            cache_dir=cache_dir,
            spread=self.crew.text,
            reads_at_once=self.team.leads or self.team.sharing.text,
        )

    def vae(self, *, tiling: bool) -> Callable[[], VideoVAE]:
        """Reads the VAE once: now on rank 0, which alone encodes images and decodes."""
        source = functools.cache(functools.partial(load_vae, self.checkpoint, device=self.device, tiling=tiling))
        if self.team.leads:
            source()
        return source

    def experts(
        self, attention: str, prefetch_gib: float | None, *, loras: Sequence[LoraFile], weights: WeightOptions
    ) -> ExpertStores:
        """Reads the experts, each when its turn comes, or shortly before."""
        asked = 0.0 if self.crew.is_spread else prefetch_gib  # spread weights are read by all ranks together
        return ExpertStores(
            functools.partial(
                prepare_expert,
                self.checkpoint,
                dtype=self.dtype,
                attention=attention,
                spread=self.crew.experts,
                loras=loras,
                weights=weights,
            ),
            device=self.device,
            may_prefetch=functools.partial(
                may_prefetch, asked, self.checkpoint.denoiser_size, self.dtype, weights.quantize
            ),
        )
