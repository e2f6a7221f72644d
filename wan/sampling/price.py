"""What a plan costs: forwards, token-forwards and estimated FLOPs, also as fractions of the plain plan."""

from dataclasses import asdict, dataclass, replace

from wan.configs import TaskConfig
from wan.sampling.guidance import Branch, ClassifierFree
from wan.sampling.plan import Expert, Plan, Step

SELF_ATTENTION, CROSS_ATTENTION, FEED_FORWARD = "self_attention", "cross_attention", "feed_forward"
TEXT_KEYS = "text_keys_and_values"


@dataclass(frozen=True, kw_only=True, slots=True)
class DenoiserSize:
    """The numbers of a Wan DiT that its cost depends on; ``num_heads``: attention heads, which several GPUs share."""

    dim: int
    ffn_dim: int
    num_layers: int
    text_len: int
    num_heads: int = 1

    @property
    def block_weights(self) -> int:
        """Weights of all blocks: 8 d^2 (two attentions) + 2 d ffn in each; norms, modulation and borders left out."""
        return self.num_layers * (8 * self.dim**2 + 2 * self.dim * self.ffn_dim)

    def forward_flops(self, tokens: int) -> float:
        """Multiply-adds counted as two: linear layers 2 P N, self-attention 4 N^2 d L, cross-attention 4 N T d L.

        P per layer is 6 d^2 (self-attention q, k, v, o and cross-attention q, o) + 2 d ffn; the text's keys and values
        (2 d^2 over T positions) are counted apart. Norms, rotary embedding, modulation and the two border projections
        are left out (below 1 % at the official sizes). A14B, 32,760 tokens: 1.68 PFLOP.
        """
        return self.num_layers * sum(self.part_flops(tokens).values())

    def part_flops(self, tokens: int) -> dict[str, float]:
        """The parts of one block, by name: what a cache may leave out one by one. Their sum times the number of blocks
        is ``forward_flops``."""
        square = 2.0 * self.dim**2
        return {
            SELF_ATTENTION: 4 * square * tokens + 4.0 * tokens**2 * self.dim,
            CROSS_ATTENTION: 2 * square * tokens + 4.0 * tokens * self.text_len * self.dim,
            TEXT_KEYS: 2 * square * self.text_len,
            FEED_FORWARD: 4.0 * tokens * self.dim * self.ffn_dim,
        }


def published_size(config: TaskConfig) -> DenoiserSize:
    """The size of a task's published denoiser, which needs no checkpoint."""
    return DenoiserSize(
        dim=config.dim,
        ffn_dim=config.ffn_dim,
        num_layers=config.num_layers,
        text_len=config.text_len,
        num_heads=config.num_heads,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Planned cost of a run; ``frame_steps`` is the founding documents' unit: pixel frames times steps, both
    branches as one."""

    forwards: int
    token_forwards: int
    flops: float
    frame_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceTag:
    """A plan's price beside that of the plain plan: full CFG, all frames, same steps."""

    planned: Price
    plain: Price

    def fractions(self) -> dict[str, float]:
        planned, plain = asdict(self.planned), asdict(self.plain)
        return {name: planned[name] / plain[name] for name in planned}

    def as_dict(self) -> dict[str, dict[str, float]]:
        return {"planned": asdict(self.planned), "plain": asdict(self.plain), "fraction": self.fractions()}


def price(plan: Plan, size: DenoiserSize) -> PriceTag:
    """Price a plan and its plain counterpart for a denoiser of the given size."""
    return PriceTag(planned=_total(plan, plan.steps, size), plain=_total(plan, _plain_steps(plan), size))


def _plain_steps(plan: Plan) -> tuple[Step, ...]:
    # neither scale nor sigma matters for the price, only that both branches are evaluated, on all frames
    full = plan.geometry.latent_frames
    plain = replace(plan.steps[0], latent_frames=full, guidance=ClassifierFree(0.0), cached=frozenset())
    return (plain,) * (plan.plain_steps or len(plan.steps))


def _total(plan: Plan, steps: tuple[Step, ...], size: DenoiserSize) -> Price:
    geometry = plan.geometry
    tokens = [geometry.tokens(step.latent_frames) for step in steps]
    counts = [len(step.evaluated) for step in steps]
    return Price(
        forwards=sum(counts),
        token_forwards=sum(n * count for n, count in zip(tokens, counts, strict=True)),
        flops=sum(size.forward_flops(n) * count for n, count in zip(tokens, counts, strict=True)),
        frame_steps=sum(_pixel_frames(plan, step.latent_frames) for step in steps),
    )


def _pixel_frames(plan: Plan, latent_frames: int) -> int:
    return (latent_frames - 1) * plan.geometry.vae_stride[0] + 1


def forwards_by(plan: Plan) -> dict[str, int]:
    """Planned forwards per expert and branch, for example ``{"high_noise.cond": 13, ...}``."""
    counts = {f"{expert.value}.{branch.value}": 0 for expert in Expert for branch in Branch}
    for step in plan.steps:
        for branch in step.evaluated:
            counts[f"{step.expert.value}.{branch.value}"] += 1
    return {name: count for name, count in counts.items() if count}
