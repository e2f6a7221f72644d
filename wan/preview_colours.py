"""The colours of a preview: for each VAE the linear map from a latent to red, green and blue."""

from dataclasses import dataclass

import yaml

from wan.configs import CONFIG_DIR, TaskConfig
from wan.errors import InvalidInput

PREVIEW_DIR = CONFIG_DIR / "preview"
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewColours:
    """colour = weights . latent + bias, in [-1, 1], of the normalised latent that the denoiser works on.

    ``weights``: for red, green and blue one number per latent channel. ``source``: where they are from.
    """

    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    source: str


def preview_colours(config: TaskConfig) -> PreviewColours:
    """The colours for the latents of a task; ``InvalidInput`` where none are known."""
    if config.preview is None:
        raise InvalidInput(
            f"--preview knows no colours for the latents of --task {config.name}; leave it out, or name those of its "
            "VAE under 'preview' in the task's YAML file"
        )
    found = yaml.safe_load((PREVIEW_DIR / f"{config.preview}.yaml").read_text(encoding="utf-8"))
    weights = tuple(tuple(map(float, found["weights"][colour])) for colour in COLOURS)
    if any(len(row) != config.latent_channels for row in weights):
        raise InvalidInput(
            f"--preview has colours for {len(weights[0])} latent channels, and --task {config.name} has "
            f"{config.latent_channels}; leave it out"
        )
    return PreviewColours(weights=weights, bias=tuple(map(float, found["bias"])), source=str(found["source"]).strip())
