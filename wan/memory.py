"""Whether a run fits into this machine's memory: what it surely needs, and what there is.

The need is a lower bound (weights, one layer's activations, latents), so what is refused could not have worked.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

from wan.configs import TaskConfig
from wan.device_kind import device_kind
from wan.errors import InvalidInput
from wan.machine import Machine
from wan.sampling.geometry import Geometry
from wan.sampling.price import DenoiserSize

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
QUANTISED = {"fp8": 1, "int8": 1}
_CGROUPS = Path("/sys/fs/cgroup")
_LATENT_COPIES = 4  # the latents, two predictions and the sample before in the solver


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Bytes that a run surely holds at once. ``text``: the text encoder, which is there before the experts."""

    experts: int
    weights: int
    activations: int
    text: int = 0

    @property
    def total(self) -> int:
        return max(self.weights + self.activations, self.text)

    def sentence(self) -> str:
        """What it is needed for."""
        if self.text > self.weights + self.activations:
            return f"{self.text / 1e9:.1f} GB for the text encoder"
        what = "one expert" if self.experts == 1 else f"{self.experts} experts"
        rest = f" and {self.activations / 1e9:.1f} GB for what it computes" if self.activations > 1e8 else ""
        return f"{self.weights / 1e9:.1f} GB for the weights of {what}{rest}"


def need_of(
    config: TaskConfig,
    size: DenoiserSize,
    geometry: Geometry,
    *,
    machine: Machine,
    text: int = 0,
    quantize: str = "none",
) -> Need:
    """What sampling needs on the device that computes: one expert at a time, or all of them.

    ``text``: bytes of the text encoder; ``quantize``: how the weights are stored.
    """
    width = BYTES[machine.dtype or config.param_dtype]
    together = machine.offload_for(config) == "none" or (machine.prefetch_gib and device_kind(machine.device) == "cpu")
    experts = 2 if config.has_two_experts and together else 1
    tokens = geometry.tokens(geometry.latent_frames)
    channels, frames, rows, columns = geometry.latent_shape()
    return Need(
        experts=experts,
        weights=experts * expert_bytes(config, size, machine, quantize=quantize),
        activations=tokens * (2 * size.dim + size.ffn_dim) * width
        + _LATENT_COPIES * 4 * channels * frames * rows * columns,
        text=text,
    )


def refuse_prefetch(config: TaskConfig, size: DenoiserSize, machine: Machine, *, quantize: str = "none") -> None:
    """``InvalidInput`` for a --prefetch_gib that no expert fits into, or where none is read during a run."""
    asked = machine.prefetch_gib
    if asked is None or asked == 0:
        return
    offload, need = machine.offload_for(config), expert_bytes(config, size, machine, quantize=quantize)
    if not 0 < asked < math.inf:
        raise InvalidInput(
            f"--prefetch_gib {asked:g} must be 0 or more; give the GiB of host memory for the next expert"
        )
    if not config.has_two_experts or offload != "expert":
        why = f"--offload {offload} reads none during a run" if config.has_two_experts else "this model has one expert"
        raise InvalidInput(f"--prefetch_gib {asked:g} has nothing to read: {why}; leave it out")
    if asked * GIB < need:
        raise InvalidInput(
            f"--prefetch_gib {asked:g} is less than the {need / GIB:.1f} GiB that the next expert takes; give at least "
            f"{math.ceil(need / GIB)}, or 0 to read it when its turn comes"
        )


def expert_bytes(config: TaskConfig, size: DenoiserSize, machine: Machine, *, quantize: str = "none") -> int:
    """What the blocks of one expert take in memory, as they are stored."""
    return block_bytes(size, machine.dtype or config.param_dtype, quantize)


def block_bytes(size: DenoiserSize, dtype: str, quantize: str) -> int:
    """The blocks' weights in a dtype, or quantised: one byte each, with less than a hundredth for scales. A GGUF file
    has its own size; here it is taken for the smallest that is published, of two bits."""
    return size.block_weights // 4 if quantize == "gguf" else size.block_weights * QUANTISED.get(quantize, BYTES[dtype])


def why_no_room(need: int, *, most_gib: float | None) -> str | None:
    """Why an expert of ``need`` bytes is not prefetched now; None where there is room for it."""
    import psutil

    free = min(psutil.virtual_memory().available, machine_bytes())
    room = free if most_gib is None else min(free, most_gib * GIB)
    if need <= room:
        return None
    return (
        f"the next expert is read when its turn comes, not before: it takes {need / GIB:.1f} GiB of host memory, and "
        f"{room / GIB:.1f} GiB may be used or are free"
    )


def text_bytes(ckpt_dir: Path) -> int:
    """Bytes that the text encoder takes at least: what its files hold, half of that where they may be float32."""
    official = sum(file.stat().st_size for file in ckpt_dir.glob("models_t5*.pth"))
    return official or sum(file.stat().st_size for file in ckpt_dir.glob("text_encoder/*.safetensors")) // 2


def refuse_too_little_memory(
    config: TaskConfig,
    size: DenoiserSize,
    geometry: Geometry,
    *,
    machine: Machine,
    text: int = 0,
    quantize: str = "none",
) -> None:
    """``InvalidInput`` with both figures for a run on the CPU that this machine's memory cannot hold."""
    need = need_of(config, size, geometry, machine=machine, text=text, quantize=quantize)
    if reason := why_too_little(need, machine):
        raise InvalidInput(
            f"{reason}; use another machine, a smaller model or --size, --offload expert or --dtype bfloat16 where "
            "they are not in use yet, or --ignore_memory_check to try it all the same"
        )


def why_too_little(need: Need, machine: Machine) -> str | None:
    """The figures, when a run on the CPU surely does not fit; None on other devices, and where it was told to try."""
    if machine.ignore_memory_check or device_kind(machine.device) != "cpu":
        return None
    available = machine_bytes()
    if need.total <= available:
        return None
    return f"this run needs at least {need.sentence()}, and this machine has {available / 1e9:.1f} GB with its swap"


def refuse_large_language_model(weights: int, machine: Machine) -> None:
    """``InvalidInput`` for a model of ``weights`` bytes that extends prompts on the CPU and does not fit there."""
    if machine.ignore_memory_check or device_kind(machine.device) != "cpu" or weights <= (available := machine_bytes()):
        return
    raise InvalidInput(
        f"--prompt_extend_model has {weights / 1e9:.1f} GB of weights, and this machine has {available / 1e9:.1f} GB "
        "with its swap; give a smaller model, or --prompt_extend_method dashscope"
    )


def machine_bytes() -> int:
    """Memory and swap of this machine, or what this process may have of them."""
    import psutil

    memory, swap = psutil.virtual_memory().total, psutil.swap_memory().total
    limits = [memory + swap]
    for folder in _own_cgroups():
        if (most := _limit(folder / "memory.max")) is not None:
            also = _limit(folder / "memory.swap.max")
            limits.append(most + (swap if also is None else min(also, swap)))
        if (most := _limit(folder / "memory.limit_in_bytes")) is not None:
            limits.append(most + swap)
    return min(limits + _address_space())


def _address_space() -> list[int]:
    """What `ulimit -v` allows."""
    if sys.platform == "win32":
        return []
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return [] if limit == resource.RLIM_INFINITY else [limit]


def _own_cgroups() -> list[Path]:
    """The control groups of this process, version 2 and 1, with those above them."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = [_CGROUPS, _CGROUPS / "memory"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = _CGROUPS / "memory" if "memory" in controllers.split(",") else _CGROUPS
        own = root / path.lstrip("/")
        found += [own, *(parent for parent in own.parents if root in parent.parents)]
    return found


def _limit(file: Path) -> int | None:
    """Bytes; None where there is no limit."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
