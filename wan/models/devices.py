"""Devices and dtypes: chosen automatically or by name, checked before any weight is read."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wan.errors import InvalidInput, OutOfMemory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The named device, or the best one here (cuda, mps, cpu); ``InvalidInput`` when the named one is absent."""
    if name is None or name == "auto":
        return torch.device(_best())
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidInput(f"--device {name!r} is not a device name; use auto, cpu, cuda, cuda:0 or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(f"--device {name} is not here (CUDA devices: {torch.cuda.device_count()}); use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InvalidInput("--device mps is not here; use --device cpu")
    return device


@contextmanager
def explained_out_of_memory() -> Iterator[None]:
    """Turn the device's out-of-memory error into a sentence with what to change (also a decorator)."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"out of device memory ({str(error).splitlines()[0]}); try --offload group, --quantize fp8, --t5_cpu, "
            "--vae_tiling, a smaller --size or fewer --frame_num; latents that are on disk stay there"
        ) from error


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
