"""What several GPUs cost and save of a plan: memory, traffic and time for each of them.

Computed, not measured: FLOPs of the blocks over a stated rate, bytes over a stated bandwidth, no overlap of the two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType

from wan.gpus import EFFICIENCY, GPUS, PCIE_BYTES_PER_SECOND
from wan.parallel.sharing import Sharing
from wan.sampling.plan import Plan, Step
from wan.sampling.price import DenoiserSize

FLOPS_PER_SECOND = GPUS["H100"].peak * EFFICIENCY
"""What one GPU is taken to do."""
LINKS: Mapping[str, float] = MappingProxyType({"NVLink": 400e9, "PCIe": PCIE_BYTES_PER_SECOND})
"""Bytes per second that one GPU is taken to send while it receives as many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """One GPU's part. ``weights`` and ``activations``: bytes of one expert's blocks and of one layer at work;
    ``sent``: bytes that one GPU sends, over all steps; ``compute``: seconds of its FLOPs."""

    sharing: Sharing
    weights: float
    activations: float
    sent: float
    steps: int
    compute: float
    alone: float

    def seconds(self, link: str) -> float:
        """Compute and traffic, one after the other."""
        return self.compute + self.sent / LINKS[link]

    def share_of_time(self, link: str) -> float:
        """Of what one GPU needs for the same plan."""
        return self.seconds(link) / self.alone


def shared_price(plan: Plan, size: DenoiserSize, sharing: Sharing, *, dtype_bytes: int) -> Shared:
    """The price of a plan on the ranks of ``sharing``, for each of them."""
    parts = [_step(plan, step, size, sharing, dtype_bytes=dtype_bytes) for step in plan.steps]
    tokens = max(plan.geometry.tokens(step.latent_frames) for step in plan.steps)
    weights = size.block_weights * dtype_bytes
    return Shared(
        sharing=sharing,
        weights=weights / sharing.ranks if sharing.experts else weights,
        activations=tokens / sharing.sequence * (2 * size.dim + size.ffn_dim) * dtype_bytes,
        sent=sum(sent for sent, _ in parts),
        steps=len(plan.steps),
        compute=sum(flops for _, flops in parts) / FLOPS_PER_SECOND,
        alone=sum(
            size.forward_flops(plan.geometry.tokens(step.latent_frames)) * len(step.evaluated) for step in plan.steps
        )
        / FLOPS_PER_SECOND,
    )


def _step(plan: Plan, step: Step, size: DenoiserSize, sharing: Sharing, *, dtype_bytes: int) -> tuple[float, float]:
    """Bytes that one GPU sends, and FLOPs that it computes, in one step."""
    channels = plan.geometry.latent_shape()[0]
    tokens, passes = plan.geometry.tokens(step.latent_frames), len(step.evaluated)
    has_halves = sharing.branches > 1 and passes > 1
    # a step of one branch has all ranks share its sequence
    degree = sharing.sequence if has_halves else sharing.ranks
    own_passes = 1 if has_halves else passes
    velocity = tokens * prod(plan.geometry.patch_size) * channels * dtype_bytes
    sent = own_passes * _sequence_bytes(tokens, degree, size, dtype_bytes=dtype_bytes)
    sent += own_passes * velocity * (degree - 1) / degree
    if has_halves:
        sent += velocity
    if sharing.experts:
        sent += own_passes * size.block_weights * dtype_bytes * (sharing.ranks - 1) / sharing.ranks
    return sent, own_passes * size.forward_flops(tokens) / degree


def _sequence_bytes(tokens: int, degree: int, size: DenoiserSize, *, dtype_bytes: int) -> float:
    """Of one forward: in every layer query, key, value and output change hands, (U - 1) / U of a rank's tokens."""
    return size.num_layers * 4 * (tokens / degree) * size.dim * dtype_bytes * (degree - 1) / degree


def ways(ranks: int, sharing: Sharing) -> Iterator[Sharing]:
    """How so many GPUs can share: by sequence, by branches, by both; otherwise as ``sharing``."""
    yield replace(sharing, sequence=ranks, branches=1)
    if ranks % 2 == 0:
        yield replace(sharing, sequence=ranks // 2, branches=2)


def format_shared(prices: list[Shared], *, heads: int) -> str:
    """One line for each way to share."""
    title = "on several GPUs"
    width = max(len(title), *(len(one.sharing.flags()) for one in prices))
    lines = [f"{title:<{width}}  weights  one layer  sent a step  share of time: " + ", ".join(LINKS)]
    for one in prices:
        if heads % one.sharing.ranks:
            lines.append(
                f"{one.sharing.flags():<{width}}  {heads} attention heads do not divide by {one.sharing.ranks}"
            )
            continue
        times = ", ".join(f"{one.share_of_time(link):.3f}" for link in LINKS)
        lines.append(
            f"{one.sharing.flags():<{width}}  {_size(one.weights):>7}  {_size(one.activations):>9}  "
            f"{_size(one.sent / one.steps):>11}  {times}"
        )
    lines.append(
        f"(per GPU, computed: {FLOPS_PER_SECOND / 1e12:g} TFLOP/s, "
        + ", ".join(f"{link} {rate / 1e9:g} GB/s" for link, rate in LINKS.items())
        + "; weights of one expert's blocks)"
    )
    return "\n".join(lines)


def _size(amount: float) -> str:
    return f"{amount / 1e9:.2f} GB" if amount >= 1e8 else f"{amount / 1e6:.2f} MB"
