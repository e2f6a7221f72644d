"""Latents of a run as a safetensors file with the one key ``latents``."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path
from wan.texts import encodable

LATENTS_KEY = "latents"


def save_latents(path: Path, latents: torch.Tensor, *, metadata: Mapping[str, str]) -> None:
    """Write latents (C, F, h, w) float32, with ``metadata`` in the header; OSError when that fails."""
    assert latents.ndim == 4 and latents.dtype == torch.float32, (latents.shape, latents.dtype)
    tensors = {LATENTS_KEY: latents.detach().cpu().contiguous()}
    content = save(tensors, metadata={name: encodable(text) for name, text in metadata.items()})
    with atomic_path(path) as temporary:
        # not save_file: it makes the file readable to its owner only, whatever the umask says
        temporary.write_bytes(content)


def load_latents(path: Path) -> torch.Tensor:
    """Read latents (C, F, h, w) float32; InvalidInput when the file is missing, damaged or holds something else."""
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist: give the latents.safetensors of a run folder")
    try:
        with safe_open(path, framework="pt") as file:
            keys = sorted(file.keys())
            if LATENTS_KEY not in keys:
                raise InvalidInput(f"{path} has no tensor {LATENTS_KEY!r}, only {keys}: it is not the latents of a run")
            return file.get_tensor(LATENTS_KEY)
    except SafetensorError as error:
        raise InvalidInput(f"{path} is not a whole safetensors file ({error}): run the generation again") from error
