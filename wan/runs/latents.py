"""Latents of a run as a safetensors file with the one key ``latents``."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path
from wan.texts import encodable
from wan.untrusted.refusal import MALFORMED, Refused, reason_of, shown
from wan.untrusted.safetensors_header import read_header
from wan.untrusted.tensor_entry import TensorEntry

LATENTS_KEY, DENOISED_KEY = "latents", "denoised"
PARTIAL_LATENTS_NAME = "partial_latents.safetensors"
LATENT_AXES = 4
MAX_LATENT_BYTES = 4 * 2**30
"""An hour of 1280 x 720 has less."""
_LIBRARY_ERRORS: tuple[type[Exception], ...] = (SafetensorError, *MALFORMED)
_AGAIN = "run the generation again"


def save_latents(
    path: Path, latents: torch.Tensor, *, metadata: Mapping[str, str], denoised: torch.Tensor | None = None
) -> None:
    """Write latents (C, F, h, w) float32, with ``metadata`` in the header; OSError when that fails.

    ``denoised``: of latents that are still noisy, the last estimate x0 of the finished ones.
    """
    assert latents.ndim == 4 and latents.dtype == torch.float32, (latents.shape, latents.dtype)
    tensors = {LATENTS_KEY: latents.detach().cpu().contiguous()}
    if denoised is not None:
        tensors[DENOISED_KEY] = denoised.detach().cpu().contiguous()
    content = save(tensors, metadata={name: encodable(text) for name, text in metadata.items()})
    with atomic_path(path) as temporary:
        # not save_file: it makes the file readable to its owner only, whatever the umask says
        temporary.write_bytes(content)


def load_latents(path: Path, *, key: str = LATENTS_KEY) -> torch.Tensor:
    """Read latents (C, F, h, w) float32; InvalidInput when the file is missing, damaged or holds something else."""
    if not path.exists():
        raise InvalidInput(f"{path} does not exist: give the latents.safetensors of a run folder")
    try:
        tensors = read_header(path).tensors
        if key not in tensors:
            raise InvalidInput(
                f"{path} has no tensor {key!r}, only {shown(', '.join(sorted(tensors)))!r}: it is not the "
                "latents of a run"
            )
        refuse_unlike_latents(tensors[key], dtypes=("F32",))
        with safe_open(path, framework="pt") as file:
            latents: torch.Tensor = file.get_tensor(key)
    except InvalidInput:
        raise
    except Refused as error:
        raise InvalidInput(f"{path} is not a whole safetensors file of latents: {error}; {_AGAIN}") from error
    except _LIBRARY_ERRORS as error:
        raise InvalidInput(f"{path} is not a whole safetensors file ({reason_of(error)}): {_AGAIN}") from error
    if not torch.isfinite(latents).all():
        raise InvalidInput(f"{path} holds values that are not finite (NaN or infinity): {_AGAIN}")
    return latents


def refuse_unlike_latents(entry: TensorEntry, *, dtypes: Collection[str]) -> None:
    """``Refused`` for a tensor that cannot be the latents (C, F, h, w) of a video."""
    if entry.dtype not in dtypes:
        raise Refused(f"the latents are {entry.dtype}, and they must be {' or '.join(dtypes)}")
    if len(entry.shape) != LATENT_AXES or not entry.elements:
        raise Refused(f"the latents have the shape {list(entry.shape)}, and a video's are (channels, frames, h, w)")
    if entry.byte_count > MAX_LATENT_BYTES:
        raise Refused(f"the latents have {entry.byte_count:,} bytes, more than any video's")
