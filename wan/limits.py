"""Numbers that a run can be asked for: finite ones, seeds that a generator takes, a sensible count of steps."""

import argparse
import math
import secrets
from collections.abc import Iterable

from wan.errors import InvalidInput

MAX_SEED = 2**63 - 1
CPU_SEEDS = 2**32
"""PyTorch's generator on a CPU is started by the lower 32 bits of a seed."""
MAX_COUNT = 10**6
"""Of repeats, clips and trials: more is a mistake, and never ends."""
MAX_THREADS = 1024
MAX_STEPS = 1000
"""The timesteps that the models were trained on."""
MAX_SCALE = 1000.0
"""Official scales are 3 to 6, and from about 20 pictures burn out; far above, float32 overflows."""
MAX_SHIFT = 1000.0
"""Official shifts are 3 to 12; far above, every step but the last is pure noise."""


def finite(text: str) -> float:
    """A number of a command line; ValueError for what is none, ArgumentTypeError for NaN and infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number; give one such as 5.0")
    return value


finite.__name__ = "float"  # what argparse and suites call it: "invalid float value: 'half'"


def whole(text: str) -> int:
    """A whole number of a command line, in ASCII digits; ValueError for what is none."""
    if not text.isascii() or len(text) > 40 or "_" in text:
        raise ValueError(f"{text[:40]!r} is no whole number")
    return int(text)


whole.__name__ = "int"


def seed(text: str) -> int:
    """A seed of a command line; ArgumentTypeError for one that no generator takes."""
    value = whole(text)
    if not 0 <= value <= MAX_SEED:
        raise argparse.ArgumentTypeError(f"{value} is no seed; give a whole number from 0 to {MAX_SEED}")
    return value


def check_count(name: str, count: int, *, most: int, why: str = "") -> None:
    """``InvalidInput`` for a count below 1 or above ``most``; ``why`` ends the second sentence."""
    if count < 1:
        raise InvalidInput(f"{name} {count} must be at least 1")
    if count > most:
        raise InvalidInput(f"{name} {count} must be at most {most}{f', {why}' if why else ''}")


def refuse_infinite(name: str, values: Iterable[float], *, most: float) -> None:
    """``InvalidInput`` for a number that is not finite, or whose size is above ``most``."""
    for value in values:
        if not isinstance(value, int | float) or not abs(value) <= most:
            raise InvalidInput(f"{name} {_number(value)} must be a finite number, at most {most:g}")


def check_seed(seed: int, *, name: str, random_allowed: bool = False) -> None:
    """``InvalidInput`` for a seed outside 0 to 2^63-1; ``random_allowed``: -1, a random one, is taken as well."""
    is_whole = isinstance(seed, int) and not isinstance(seed, bool)
    if is_whole and (0 <= seed <= MAX_SEED or (random_allowed and seed == -1)):
        return
    also = ", or -1 for a random one" if random_allowed else ""
    raise InvalidInput(f"{name} {seed} must be a whole number from 0 to {MAX_SEED}{also}")


def resolve_seed(seed: int) -> int:
    """The seed, or a random one for -1, as upstream; ``InvalidInput`` for one that no generator takes."""
    check_seed(seed, name="seed", random_allowed=True)
    return seed if seed >= 0 else secrets.randbelow(2**31)


def seed_notice(seed: int, *, name: str) -> str | None:
    """What to know of a seed that a CPU cannot tell from a smaller one."""
    if seed < CPU_SEEDS:
        return None
    return (
        f"on a CPU the noise has 32 bits of seed: {name} {seed} makes the same video there as {name} {seed % CPU_SEEDS}"
    )


def refuse_absurd_steps(steps: int, *, name: str) -> None:
    """``InvalidInput`` for more steps than the models have timesteps."""
    if steps > MAX_STEPS:
        raise InvalidInput(f"{name} {steps} must be at most {MAX_STEPS}, the timesteps that the models were trained on")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
