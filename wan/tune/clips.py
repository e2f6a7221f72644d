"""The clips that a plan is tuned and verified on: prompts and seeds, never those that results are reported on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wan.demo_world.words import MOTION_NAMES, Combination, training_combinations
from wan.errors import InvalidInput
from wan.texts import prompts_from_file

TUNING_SEED, VERIFICATION_SEED = 1, 2
_FIRST_SEED = 1000  # results are reported on small seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneClip:
    """One prompt with one seed."""

    prompt: str
    seed: int


def demo_clips(count: int, *, draw: int, other_than: Sequence[TuneClip] = ()) -> list[TuneClip]:
    """``count`` captions that the demo model was trained on, motion by motion in turn, and none of ``other_than``."""
    rng, taken = random.Random(draw), {clip.prompt for clip in other_than}
    each = -(-count // len(MOTION_NAMES))
    by_motion: dict[str, list[Combination]] = {motion: [] for motion in MOTION_NAMES}
    for one in training_combinations():
        # a spinning circle looks still
        if one.caption() not in taken and not (one.shape == "circle" and one.motion == "spinning"):
            by_motion[one.motion].append(one)
    most = min(map(len, by_motion.values()))
    if each > most:
        raise InvalidInput(
            f"{count} clips are more than the {most * len(MOTION_NAMES)} that the demo model has other captions for; "
            "lower --clips or --verify_clips"
        )
    by_motion = {motion: rng.sample(own, k=each) for motion, own in by_motion.items()}
    turns = [one for turn in zip(*by_motion.values(), strict=True) for one in turn]
    return [TuneClip(prompt=one.caption(), seed=_FIRST_SEED + rng.randrange(10**6)) for one in turns[:count]]


PROMPTS = (
    "a red fox trots through fresh snow between birch trees, low winter sun",
    "waves break over black rocks at dusk, spray in slow motion",
    "an old man folds a paper boat at a kitchen table, warm lamp light",
    "a yellow tram climbs a steep street between tiled houses",
    "two dancers turn in an empty hall, dust in the window light",
    "a hummingbird hovers in front of a purple flower, macro",
    "rain runs down a window, neon signs out of focus behind it",
    "a potter shapes a bowl on a spinning wheel, hands covered in clay",
    "a hot-air balloon rises over a valley filled with fog",
    "a dog shakes water out of its coat on a wooden pier",
    "camera flies slowly along a canyon above a green river",
    "a train passes a station at night, lit windows flicker by",
    "steam rises from a bowl of noodles, chopsticks lift some",
    "children run with kites across a dry meadow, wide shot",
    "a candle burns down in a time lapse, dark background",
    "a diver swims above a coral reef among small blue fish",
    "autumn leaves fall into a still pond, close view",
    "a cyclist rides through a tunnel of trees, seen from behind",
    "a chef tosses vegetables in a pan, flames flare up",
    "snow-covered mountains at sunrise, clouds drift over the ridge",
    "a cat jumps from a shelf onto a sofa",
    "a sailing boat heels in strong wind, drone view",
    "ink drops spread in clear water, white background",
    "a woman in a long coat crosses a rainy street under an umbrella",
)
"""Our own: what a checkpoint is tuned on where no prompts are given."""


def default_clips(count: int, *, draw: int, is_demo: bool, other_than: Sequence[TuneClip] = ()) -> list[TuneClip]:
    """The demo model's captions, or ``PROMPTS``; none of the prompts of ``other_than``, clips of the other draw."""
    if is_demo:
        return demo_clips(count, draw=draw, other_than=other_than)
    return draw_clips(PROMPTS, count, draw=draw, source="the list of prompts that comes with wan tune")


def clips_from_file(path: Path, count: int, *, draw: int) -> list[TuneClip]:
    """``count`` of the prompts in a text file, one on each line; the draws of tuning and verification share none.

    ``InvalidInput`` when the file cannot be read or holds fewer than twice ``count`` prompts.
    """
    return draw_clips(prompts_from_file(path, name="--prompts"), count, draw=draw, source=f"--prompts {path}")


def draw_clips(prompts: Sequence[str], count: int, *, draw: int, source: str) -> list[TuneClip]:
    """Prompts of even places for tuning, of odd ones for verification, each with a seed of its own."""
    own = list(dict.fromkeys(prompts))[draw % 2 :: 2]
    if len(own) < count:
        raise InvalidInput(
            f"{source} holds {len(dict.fromkeys(prompts))} different prompts; {count} for tuning and as many for "
            f"verification need {2 * count}: add some, or lower --clips and --verify_clips"
        )
    rng = random.Random(draw)
    return [TuneClip(prompt=prompt, seed=_FIRST_SEED + rng.randrange(10**6)) for prompt in own[:count]]
