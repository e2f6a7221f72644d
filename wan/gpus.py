"""Named GPUs: what their data sheets promise, and the share of it that a video transformer is taken to reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

GIB = 2**30
EFFICIENCY = 0.45
"""An assumption, said wherever a time is printed. Reports of whole runs of A14B and 14B imply 0.24 to 0.62, that of the
founding documents 0.46 (A100, 480p, 49 frames, 20 steps: 234 s)."""
PCIE_BYTES_PER_SECOND = 25e9
"""From host memory to a GPU over PCIe 4.0 x16, as measured by others; an assumption here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """``peak``: dense bfloat16 FLOP per second with float32 sums; ``memory``: bytes, as the maker counts them."""

    peak: float
    memory: float

    def seconds(self, flops: float) -> float:
        """How long it takes for so many FLOPs."""
        return flops / (self.peak * EFFICIENCY)


GPUS: Mapping[str, Gpu] = MappingProxyType(
    {
        "RTX 4090": Gpu(peak=165e12, memory=24 * GIB),
        "A100": Gpu(peak=312e12, memory=80 * GIB),
        "H100": Gpu(peak=989e12, memory=80 * GIB),
        "H200": Gpu(peak=989e12, memory=141e9),
    }
)
"""By the makers' data sheets (A100 and H100: SXM, 80 GB)."""
