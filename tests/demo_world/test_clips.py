"""The demo clips are drawn exactly, captions use the closed vocabulary, and held-out combinations stay held out."""

from __future__ import annotations

import math

import pytest
import torch

from demo_model import text
from wan.demo_world.clips import (
    PIXEL_FRAMES,
    SIZE,
    SQUARE_HALF_SIDE,
    TRIANGLE_CIRCUMRADIUS,
    ClipBatch,
    as_indices,
    coverage,
    from_indices,
    render,
    sample_clips,
)
from wan.demo_world.words import (
    COLOUR_NAMES,
    HELD_OUT_COUNT,
    MOTION_NAMES,
    SHAPES,
    all_combinations,
    held_out_combinations,
    training_combinations,
    vocabulary,
)

RADIUS = 12.0
AREAS = {
    "circle": math.pi * RADIUS**2,
    "square": (2 * SQUARE_HALF_SIDE * RADIUS) ** 2,
    "triangle": 0.75 * math.sqrt(3) * (TRIANGLE_CIRCUMRADIUS * RADIUS) ** 2,
}


def _one_object(shape: str, *, x: float, y: float, angle: float) -> ClipBatch:
    def constant(value: float) -> torch.Tensor:
        return torch.full((1, 1), value)

    return ClipBatch(
        shape=torch.tensor([SHAPES.index(shape)]),
        x=constant(x),
        y=constant(y),
        radius=constant(RADIUS),
        angle=constant(angle),
        object_rgb=torch.ones(1, 3),
        background_rgb=torch.zeros(1, 3),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", [0.0, 0.3, 1.1])
def test_rendered_area_and_centre_are_the_analytic_ones(shape: str, angle: float) -> None:
    cover = coverage(_one_object(shape, x=31.3, y=33.9, angle=angle))[0, 0].double()
    pixels = torch.arange(SIZE) + 0.5
    assert float(cover.sum()) == pytest.approx(AREAS[shape], rel=0.01)
    assert float((cover.sum(0) * pixels).sum() / cover.sum()) == pytest.approx(31.3, abs=0.05)
    assert float((cover.sum(1) * pixels).sum() / cover.sum()) == pytest.approx(33.9, abs=0.05)


def test_upright_square_covers_pixels_by_their_distance_to_its_edge() -> None:
    half = SQUARE_HALF_SIDE * RADIUS
    row = coverage(_one_object("square", x=32.0, y=32.0, angle=0.0))[0, 0, 32]
    expected = (0.5 - ((torch.arange(SIZE) + 0.5 - 32.0).abs() - half)).clamp(0, 1)
    torch.testing.assert_close(row, expected)


def test_clips_have_the_documented_form_and_move_as_their_caption_says() -> None:
    rows = as_indices(training_combinations()[::40])
    clips = sample_clips(rows, generator=torch.Generator().manual_seed(0))
    video = render(clips)
    assert video.shape == (len(rows), 3, PIXEL_FRAMES, SIZE, SIZE)
    assert float(video.min()) >= 0 and float(video.max()) <= 1
    dx, dy = clips.x[:, -1] - clips.x[:, 0], clips.y[:, -1] - clips.y[:, 0]
    growth, turn = clips.radius[:, -1] / clips.radius[:, 0], clips.angle[:, -1]
    motions = [MOTION_NAMES[int(row[2])] for row in rows]
    for index, motion in enumerate(motions):
        assert (dx[index] > 15) == (motion == "right") and (dx[index] < -15) == (motion == "left")
        if motion != "bouncing":
            assert (dy[index] > 15) == (motion == "down") and (dy[index] < -15) == (motion == "up")
        assert (growth[index] > 1.5) == (motion == "growing") and (growth[index] < 0.67) == (motion == "shrinking")
        assert (turn[index] > 1) == (motion == "spinning")


def test_a_window_is_the_same_clip_later() -> None:
    rows = as_indices(training_combinations()[:9])
    whole = sample_clips(rows, generator=torch.Generator().manual_seed(3))
    window = sample_clips(rows, generator=torch.Generator().manual_seed(3), pixel_frames=17, start=20)
    torch.testing.assert_close(window.x, whole.x[:, 20:37])
    torch.testing.assert_close(window.radius, whole.radius[:, 20:37])


def test_held_out_combinations_are_fixed_and_never_trained() -> None:
    held_out, training = held_out_combinations(), training_combinations()
    assert len(held_out) == HELD_OUT_COUNT >= 64
    assert not set(held_out) & set(training)
    assert set(held_out) | set(training) == set(all_combinations())
    assert all(one.colour != one.background for one in all_combinations())
    assert held_out[0].caption() == "a cyan square moving right on a black background"
    for words in (SHAPES, COLOUR_NAMES, MOTION_NAMES):  # every word is still learned
        assert all(
            any(word in one.caption() or f"moving {word}" in one.caption() for one in training) for word in words
        )


def test_indices_round_trip() -> None:
    for one in all_combinations()[::97]:
        assert from_indices(as_indices((one,))[0]) == one


def test_training_captions_stay_inside_the_vocabulary_and_fit() -> None:
    generator = torch.Generator().manual_seed(0)
    captions = [text.caption_for_training(one, generator=generator) for one in training_combinations()]
    tokenizer = text.make_tokenizer()
    assert max(len(tokenizer(caption).input_ids) for caption in captions) < text.COMPACT_LENGTH
    assert {word for caption in captions for word in caption.split()} <= {*vocabulary(), "<unk>"}
    assert 0.06 < captions.count("") / len(captions) < 0.14
    assert any("<unk>" in caption for caption in captions)
