"""What a network really computed: which parts of its blocks ran, counted inside them where there is a cache."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from wan.sampling.price import CROSS_ATTENTION, FEED_FORWARD, SELF_ATTENTION, TEXT_KEYS, DenoiserSize


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What one call of a network ran: samples that went through its last block, and how often each part of a block ran,
    summed over blocks and samples."""

    samples: int
    parts: Mapping[str, int]


class Meter(Protocol):
    """Knows what a call of the network ran."""

    def read(self, samples: int) -> Work:
        """What ran since the last reading, which was one call with so many samples."""


@dataclass(frozen=True, slots=True)
class WholeForwards:
    """Without a cache every part of every block runs: nothing needs to be watched."""

    num_blocks: int

    def read(self, samples: int) -> Work:
        parts = (SELF_ATTENTION, CROSS_ATTENTION, TEXT_KEYS, FEED_FORWARD)
        return Work(samples=samples, parts=dict.fromkeys(parts, samples * self.num_blocks))


@dataclass(slots=True)
class BlockMeter:
    """Counts inside the blocks, see ``metered_blocks``."""

    _parts: Counter[str] = field(default_factory=Counter)
    _finished: int = 0

    def read(self, samples: int) -> Work:
        work = Work(samples=self._finished, parts=dict(self._parts))
        self._parts.clear()
        self._finished = 0
        return work

    def counting(self, part: str) -> Callable[[nn.Module, Any, Tensor], None]:
        """A hook for the layer in which a part ends."""

        def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._parts[part] += len(output)

        return count

    def finish(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """A hook for the layer in which the last block ends."""
        self._finished += len(output)


@contextmanager
def metered_blocks(model: WanTransformer3DModel) -> Iterator[BlockMeter]:
    """For the length of the block (of code) every part of the model's blocks is counted when it runs.

    Counted are layers inside the parts, because caches replace the parts' own ``forward``: PyramidAttentionBroadcast
    that of ``attn1``, SeaCache that of a whole block.
    """
    meter = BlockMeter()
    with ExitStack() as stack:
        for block in model.blocks:
            for part, layer in _last_layers(block):
                stack.callback(layer.register_forward_hook(meter.counting(part)).remove)
        stack.callback(model.blocks[-1].ffn.net[-1].register_forward_hook(meter.finish).remove)
        yield meter


def size_of(model: WanTransformer3DModel, *, text_len: int) -> DenoiserSize:
    """The size of a loaded model, for texts of ``text_len`` positions."""
    config = model.config
    return DenoiserSize(
        dim=config.num_attention_heads * config.attention_head_dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.num_layers,
        num_heads=config.num_attention_heads,
        text_len=text_len,
    )


def _last_layers(block: Any) -> tuple[tuple[str, nn.Module], ...]:
    return (
        (SELF_ATTENTION, block.attn1.to_out[0]),
        (CROSS_ATTENTION, block.attn2.to_out[0]),
        (TEXT_KEYS, block.attn2.to_k),
        (FEED_FORWARD, block.ffn.net[-1]),
    )
