"""The runs whose latents on several ranks are compared with those on one: model kinds, shortcuts, and ways to share."""

from dataclasses import dataclass

DEMO = "demo"
"""The demo model; any other checkpoint is named by a recorded run."""
TINY = "t2v_A14B_unipc"
HALF = ("--enable_half_frame_generation", "--frame_completion", "interpolate")
TRUNCATED = ("--cfg_truncate_steps", "2", "--cfg_truncate_high_noise_steps", "2")


@dataclass(frozen=True, slots=True)
class Case:
    """``ranks`` processes run a checkpoint with ``flags``, and share it as ``sharing`` says."""

    ranks: int
    run: str
    sharing: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join([self.run, *self.sharing, *self.flags])


def ulysses(ranks: int) -> tuple[str, ...]:
    return ("--ulysses_size", str(ranks))


CFG = ("--cfg_parallel",)
FSDP = ("--dit_fsdp", "--t5_fsdp")
CACHES: tuple[tuple[str, ...], ...] = (
    ("--sample_steps", "8", "--cache", "mag", "--cache_threshold", "0.3", "--cache_retention", "0.1"),
    ("--sample_steps", "8", "--cache", "first_block", "--cache_threshold", "0.8"),
    ("--sample_steps", "8", "--cache", "sea", "--cache_threshold", "2.0"),
    ("--cache", "taylor", "--cache_order", "2"),
)
TWO: tuple[tuple[str, ...], ...] = (ulysses(2), CFG)

CASES = (
    *(
        Case(2, run, sharing)
        for run in (TINY, "i2v_A14B_unipc", "ti2v_5B_t2v_unipc", "ti2v_5B_i2v_unipc", "wan21_t2v_unipc")
        for sharing in TWO
    ),
    *(Case(2, "wan21_i2v_unipc", sharing) for sharing in TWO),
    *(Case(2, TINY, sharing, cache) for sharing in TWO for cache in CACHES),
    *(Case(2, TINY, sharing, (*cache, *TRUNCATED)) for sharing in TWO for cache in CACHES[:3]),
    *(Case(2, TINY, sharing, (*HALF, "--frame_positions", "spread", *TRUNCATED)) for sharing in TWO),
    Case(2, DEMO, CFG, ("--budget", "0.5")),
    Case(2, TINY, ulysses(2), ("--batch_cfg",)),
    Case(2, TINY, ulysses(2), ("--size", "48x80", "--frame_num", "9")),  # 45 tokens: they do not divide
    Case(4, TINY, ulysses(4), ("--size", "48x80", "--frame_num", "9")),
    Case(2, TINY, ulysses(2), ("--sample_solver", "dpm++", "--offload", "none", "--restart_at_switch")),
    Case(2, TINY, (*ulysses(2), *FSDP)),
    Case(2, TINY, (*CFG, *FSDP), ("--offload", "expert", *TRUNCATED)),
    Case(2, "wan21_i2v_unipc", (*ulysses(2), "--dit_fsdp")),
    Case(2, DEMO, (*ulysses(2), "--dit_fsdp"), ("--lora", "t2v-demo-4steps:0.5")),
    Case(2, DEMO, ulysses(2), ("--lora", "t2v-demo-4steps:0.5", "--lora_unfused")),
    Case(2, DEMO, ulysses(2), ("--quantize", "fp8")),
    Case(2, "ti2v_5B_i2v_unipc", (*ulysses(2), "--t5_fsdp")),
    Case(2, "wan21_t2v_unipc", ulysses(2), ("--task", "t2i-14B", "--frame_num", "1")),
    Case(2, TINY, (*ulysses(2), "--check_parallel"), CACHES[0]),
    Case(2, TINY, (*CFG, "--check_parallel"), CACHES[2]),
    *(Case(4, run, ulysses(4)) for run in (TINY, "ti2v_5B_i2v_unipc")),
    *(Case(4, run, (*ulysses(2), *CFG)) for run in (TINY, "i2v_A14B_unipc", "ti2v_5B_i2v_unipc", "wan21_t2v_unipc")),
    *(Case(4, TINY, (*ulysses(2), *CFG), cache) for cache in CACHES[:3]),
    Case(4, TINY, (*ulysses(2), *CFG, "--check_parallel"), (*HALF, *TRUNCATED)),
    Case(4, TINY, (*ulysses(2), *CFG, *FSDP), TRUNCATED),
)
