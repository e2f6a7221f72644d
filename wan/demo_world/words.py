"""The closed world of the demo model: its words, attribute combinations, captions and the held-out split."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from functools import lru_cache

SHAPES = ("circle", "square", "triangle")
COLOURS = {
    "black": (0.05, 0.05, 0.07),
    "white": (0.95, 0.95, 0.93),
    "red": (0.88, 0.11, 0.11),
    "green": (0.10, 0.70, 0.20),
    "blue": (0.12, 0.20, 0.88),
    "yellow": (0.97, 0.87, 0.10),
    "purple": (0.68, 0.13, 0.78),
    "cyan": (0.13, 0.82, 0.88),
}
COLOUR_NAMES = tuple(COLOURS)
MOTIONS = {
    "still": "standing still",
    "right": "moving right",
    "left": "moving left",
    "up": "moving up",
    "down": "moving down",
    "growing": "growing",
    "shrinking": "shrinking",
    "bouncing": "bouncing",
    "spinning": "spinning",
}
MOTION_NAMES = tuple(MOTIONS)
HELD_OUT_COUNT = 96


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Combination:
    """What a clip shows: one shape, its colour, its motion and another colour behind it."""

    shape: str
    colour: str
    motion: str
    background: str

    def indices(self) -> tuple[int, int, int, int]:
        """Shape, colour, motion and background as positions in their lists."""
        return (
            SHAPES.index(self.shape),
            COLOUR_NAMES.index(self.colour),
            MOTION_NAMES.index(self.motion),
            COLOUR_NAMES.index(self.background),
        )

    def caption(self) -> str:
        """The full caption, e.g. "a red circle moving right on a blue background"."""
        return f"a {self.colour} {self.shape} {MOTIONS[self.motion]} on a {self.background} background"


@lru_cache(maxsize=1)
def all_combinations() -> tuple[Combination, ...]:
    """Every combination whose object differs in colour from its background, in a fixed order."""
    return tuple(
        Combination(shape=shape, colour=colour, motion=motion, background=background)
        for shape, colour, motion, background in itertools.product(SHAPES, COLOUR_NAMES, MOTION_NAMES, COLOUR_NAMES)
        if colour != background
    )


@lru_cache(maxsize=1)
def held_out_combinations() -> tuple[Combination, ...]:
    """The combinations that training never renders, in hash order; a spinning circle looks still and is never one."""
    visible = [c for c in all_combinations() if not (c.shape == "circle" and c.motion == "spinning")]
    return tuple(sorted(visible, key=lambda c: hashlib.sha256(c.caption().encode()).digest())[:HELD_OUT_COUNT])


def held_out_by_motion(count: int) -> tuple[Combination, ...]:
    """The first ``count`` held-out combinations of every motion, or as many as there are; not picked by result."""
    of_motion = ([c for c in held_out_combinations() if c.motion == motion] for motion in MOTION_NAMES)
    return tuple(c for found in of_motion for c in found[:count])


@lru_cache(maxsize=1)
def training_combinations() -> tuple[Combination, ...]:
    """Every combination that is not held out."""
    held_out = set(held_out_combinations())
    return tuple(c for c in all_combinations() if c not in held_out)


def vocabulary() -> tuple[str, ...]:
    """The words that captions are made of, sorted."""
    return tuple(sorted({word for c in all_combinations() for word in c.caption().split()}))
