"""What a video is conditioned on besides its text."""

from dataclasses import dataclass

from wan.models.denoiser import BindNetwork, TextConditioned
from wan.sampling.conditioning import LatentInput, TextOnly


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """What a video is conditioned on besides its text: through the denoiser's input, and through its attention."""

    latent_input: LatentInput
    bind: BindNetwork = TextConditioned


TEXT_ONLY = Conditioning(latent_input=TextOnly())
