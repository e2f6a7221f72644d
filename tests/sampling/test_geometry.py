"""Frame, size and token arithmetic with known answers."""

import pytest

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.sampling.geometry import (
    adjusted_frame_num,
    completed_sources,
    geometry_for,
    half_latent_frames,
    kept_frames,
    nearest_frame_num,
)

A14B = WAN_CONFIGS["t2v-A14B"]


@pytest.mark.parametrize(
    ("pixel", "latent", "half"), [(49, 13, 7), (81, 21, 11), (121, 31, 16), (5, 2, 1), (45, 12, 6), (77, 20, 10)]
)
def test_pixel_to_latent_to_half(pixel: int, latent: int, half: int) -> None:
    assert geometry_for(A14B, size=(832, 480), frame_num=pixel).latent_frames == latent
    assert half_latent_frames(latent) == half
    assert len(kept_frames(latent, half)) == half


def test_kept_and_completed_order() -> None:
    assert kept_frames(13, 7) == [0, 2, 4, 6, 8, 10, 12]
    assert completed_sources(13, 7) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert kept_frames(12, 6) == [0, 2, 4, 6, 8, 10]
    assert completed_sources(12, 6) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert kept_frames(13, 13) == completed_sources(13, 13) == list(range(13))


@pytest.mark.parametrize(
    ("asked", "made"),
    [(1, 5), (2, 5), (5, 5), (6, 5), (7, 9), (8, 9), (9, 9), (48, 49), (50, 49), (80, 81), (81, 81)],
)
def test_nearest_frame_num(asked: int, made: int) -> None:
    assert nearest_frame_num(asked) == made


def test_frame_num_of_a_task() -> None:
    assert adjusted_frame_num(WAN_CONFIGS["t2i-14B"], 1) == 1
    assert adjusted_frame_num(A14B, 1) == 1
    assert adjusted_frame_num(A14B, 2) == 5
    with pytest.raises(InvalidInput, match="--frame_num 0 must be at least 1"):
        adjusted_frame_num(A14B, 0)


def test_tokens_at_480p_and_720p() -> None:
    assert geometry_for(A14B, size=(832, 480), frame_num=81).tokens(21) == 32760
    assert geometry_for(A14B, size=(1280, 720), frame_num=81).tokens(21) == 75600


@pytest.mark.parametrize(
    ("task", "size", "nearest"),
    [
        ("t2v-A14B", (830, 480), "832\\*480"),
        ("ti2v-5B", (1280, 720), "1280\\*704"),
        ("t2v-A14B", (0, 480), "16\\*480"),
    ],
)
def test_bad_size_names_the_nearest_good_one(task: str, size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(InvalidInput, match=f"the nearest is {nearest}"):
        geometry_for(WAN_CONFIGS[task], size=size, frame_num=81)
