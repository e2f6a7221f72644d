"""Wan2.2 Shortcut: Wan2.2 inference with training-free shortcuts and the instruments that price them.

The entry classes are imported on first use, so that ``import wan`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wan.image2video import WanI2V
    from wan.text2video import WanT2V
    from wan.textimage2video import WanTI2V

__version__ = "0.1.0"
__all__ = ["WanI2V", "WanT2V", "WanTI2V", "__version__"]

_LAZY = {"WanI2V": "wan.image2video", "WanT2V": "wan.text2video", "WanTI2V": "wan.textimage2video"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'wan' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
