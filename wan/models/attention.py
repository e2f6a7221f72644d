"""Attention backends by name, through diffusers' dispatcher; each is checked before any weight is read."""

from collections.abc import Mapping

import torch
from diffusers import WanTransformer3DModel

from wan.errors import InvalidInput

BACKENDS: Mapping[str, str] = {
    "native": "native",
    "flash": "flash",
    "flash3": "_flash_3",
    "sage": "sage",
    "xformers": "xformers",
    "flex": "flex",
    "cudnn": "_native_cudnn",
}
"""Our names to diffusers'; ``auto`` leaves the choice to PyTorch, which takes the fastest kernel that it has."""

_ANYWHERE = ("native", "flex")


def check_attention(name: str, *, device: torch.device, dtype: torch.dtype) -> None:
    """``InvalidInput`` when the backend is unknown, not installed, or cannot compute on the device in the dtype."""
    if name == "auto":
        return
    if name not in BACKENDS:
        raise InvalidInput(f"--attention {name!r} is unknown; choose one of auto, {', '.join(BACKENDS)}")
    if name not in _ANYWHERE and (device.type != "cuda" or dtype == torch.float32):
        raise InvalidInput(
            f"--attention {name} computes in bfloat16 or float16 on a CUDA device, not in "
            f"{str(dtype).split('.')[1]} on {device.type}; use --attention auto"
        )
    probe = WanTransformer3DModel(num_attention_heads=1, attention_head_dim=12, ffn_dim=12, num_layers=1, text_dim=12)
    try:
        set_attention(probe, name)
    except (ImportError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"--attention {name} cannot be used here ({reason}); use --attention auto") from error


def set_attention(model: WanTransformer3DModel, name: str) -> None:
    """Let every attention of the model use the backend."""
    if name != "auto":
        model.set_attention_backend(BACKENDS[name])
