"""What the constructor of a pipeline refuses, what it tells its caller, and how it reads dtypes and seeds."""

import secrets
import warnings

import torch

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.machine import OFFLOADS


def at_least(published: torch.dtype, asked: torch.dtype) -> torch.dtype:
    """The dtype that upstream runs an encoder in (umT5 overflows in float16), unless everything is to be float32."""
    return torch.float32 if asked == torch.float32 else published


def refuse_other_entry(config: TaskConfig, entry: str) -> None:
    """``InvalidInput`` for a configuration of another entry class."""
    if config.entry != entry:
        raise InvalidInput(f"{entry} does not make {config.name}; use wan.{config.entry} for this configuration")


def refuse_offload(offload: str | None, device: torch.device) -> None:
    """``InvalidInput`` for an offload mode that does not exist, or not on this device."""
    if offload not in (None, *OFFLOADS):
        raise InvalidInput(f"offload {offload!r} is unknown; choose one of {', '.join(OFFLOADS)}")
    if offload == "group" and device.type == "cpu":
        raise InvalidInput("--offload group moves blocks from host memory to a GPU, and --device is cpu; use expert")


def refuse_multi_gpu(*, rank: int, t5_fsdp: bool, dit_fsdp: bool, use_sp: bool) -> None:
    """``InvalidInput`` for the official parameters that ask for several GPUs."""
    asked = [name for name, value in {"t5_fsdp": t5_fsdp, "dit_fsdp": dit_fsdp, "use_sp": use_sp}.items() if value]
    if rank or asked:
        raise InvalidInput(
            f"{', '.join(asked) or f'rank={rank}'} needs several GPUs, which this version does not run on; leave it out"
        )


def warn(sentence: str) -> None:
    """Tell a caller of the library what the command prints."""
    warnings.warn(sentence, stacklevel=4)


def resolve_seed(seed: int) -> int:
    """A negative seed means a random one, as upstream."""
    return seed if seed >= 0 else secrets.randbelow(2**31)
