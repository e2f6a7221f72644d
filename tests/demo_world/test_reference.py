"""The feature space says what a clip shows, and rendered clips of a caption are near each other in it."""

import numpy as np
import pytest
import torch

from wan.demo_world.clips import as_indices, render, sample_clips
from wan.demo_world.features import FEATURES, clip_features
from wan.demo_world.reference import make_reference, rendered_residuals
from wan.demo_world.words import Combination, held_out_by_motion


def features(combination: Combination, *, seed: int = 0) -> dict[str, float]:
    clips = sample_clips(as_indices((combination,)), generator=torch.Generator().manual_seed(seed))
    video = render(clips)[0].permute(1, 2, 3, 0).numpy()
    return dict(zip(FEATURES, clip_features(video), strict=True))


def red(motion: str, shape: str = "square") -> Combination:
    return Combination(shape=shape, colour="red", motion=motion, background="white")


def test_features_follow_the_motion() -> None:
    found = {motion: features(red(motion)) for motion in ("still", "right", "up", "growing", "bouncing")}
    assert found["right"]["travel_x"] > 0.2 and abs(found["right"]["travel_y"]) < 0.02
    assert found["up"]["travel_y"] < -0.2 and abs(found["up"]["travel_x"]) < 0.02
    assert found["growing"]["growth"] > 0.5 > abs(found["right"]["growth"])
    assert found["bouncing"]["bounce"] > 5 * found["right"]["bounce"]
    assert found["still"]["motion"] < 1e-9 < found["right"]["motion"]


def test_colours_are_the_clip_s_own() -> None:
    blue = Combination(shape="square", colour="blue", motion="still", background="black")
    found, other = features(red("still")), features(blue)
    assert found["red"] > found["blue"] and other["blue"] > other["red"]


def test_residuals_of_renders_are_small_and_of_another_caption_large() -> None:
    asked = held_out_by_motion(1)[:4]
    reference = make_reference(asked)
    others = rendered_residuals(reference, asked, generator=torch.Generator().manual_seed(9))
    assert others.shape == (4, len(FEATURES))
    assert np.sqrt(np.square(reference.residuals).mean()) == pytest.approx(0.8, abs=0.25)
    wrong = np.array(list(features(red("shrinking", "circle")).values()))
    assert np.abs(reference.residual(wrong, asked[0])).max() > 3 > np.sqrt(np.square(others).mean())


def test_the_same_seed_gives_the_same_reference() -> None:
    asked = held_out_by_motion(1)[:2]
    assert np.array_equal(make_reference(asked).residuals, make_reference(asked).residuals)
