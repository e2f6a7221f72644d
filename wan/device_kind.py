"""What can be said of a device without importing torch: whether its kind can be here, and what it cannot compute.

A dry run refuses by it what the run itself would refuse; the run asks torch besides (``wan.models.devices``).
"""

import importlib.util
import os
import re
import sys
from pathlib import Path

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.machine import Machine

_DEVICE = re.compile(r"auto|cpu(:0)?|mps(:0)?|cuda(:\d+)?")
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia", "/dev/dxg", "/dev/kfd")
_CUDA_ATTENTION = ("flash", "flash3", "sage", "xformers", "cudnn")


def device_kind(name: str | None) -> str | None:
    """cpu, cuda or mps; None where the automatic choice depends on what torch finds."""
    if name not in (None, "auto"):
        return str(name).split(":")[0]
    return None if can_have_cuda() or sys.platform == "darwin" else "cpu"


def refuse_machine(machine: Machine, config: TaskConfig) -> None:
    """``InvalidInput`` for a device that cannot be here, and for what it cannot do."""
    name = machine.device
    if name is not None and not _DEVICE.fullmatch(name):
        raise InvalidInput(f"--device {name!r} is not a device name; use auto, cpu, cuda, cuda:0 or mps")
    kind = device_kind(name)
    if kind == "cuda" and not can_have_cuda():
        raise InvalidInput(f"--device {name} is not here (CUDA devices: 0); use --device cpu")
    if kind == "mps" and sys.platform != "darwin":
        raise InvalidInput("--device mps is not here; use --device cpu")
    if kind != "cpu":
        return
    if machine.attention in _CUDA_ATTENTION:
        dtype = machine.dtype or config.param_dtype
        raise InvalidInput(
            f"--attention {machine.attention} computes in bfloat16 or float16 on a CUDA device, not in {dtype} on cpu; "
            "use --attention auto"
        )
    if machine.offload == "group":
        raise InvalidInput("--offload group moves blocks from host memory to a GPU, and --device is cpu; use expert")


def can_have_cuda() -> bool:
    """Whether torch could find a CUDA (or ROCm) device: it is built for one, and a driver is there."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or sys.platform == "darwin":
        return False
    if not _torch_is_built_for_gpus():
        return False
    return sys.platform != "linux" or any(Path(driver).exists() for driver in _DRIVERS)


def _torch_is_built_for_gpus() -> bool:
    """By torch's version file, which is read and not imported; True where it cannot be told."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return True
    try:
        text = (Path(found.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    built_for = re.findall(r"^(?:cuda|hip)\b[^=]*= *(.+)$", text, flags=re.MULTILINE)
    return not built_for or any(value.strip() != "None" for value in built_for)
