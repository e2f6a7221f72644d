"""Continuity on constructed frames: exact distances, the noise formula, phases, meeting curves, the solvable video."""

import math

import numpy as np
import pytest

from wan.analysis.continuity import (
    adjacent_mse,
    cosine_similarity,
    independent_noise_mse,
    measure_pairs,
    normalized_l2,
    phase_means,
    phase_ranges,
    steps_until_meeting,
)
from wan.analysis.gaussian_video import GaussianVideo
from wan.sampling.schedule import sigma_grid


def frame(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(len(values), 1, 1)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(
    ("first", "second", "distance", "cosine"),
    [
        ((3, 4), (3, 4), 0.0, 1.0),  # equal
        ((1, 0), (0, 1), 1.0, 0.0),  # orthogonal
        ((1, 2), (-1, -2), math.sqrt(2), -1.0),  # opposite
        ((3, 4), (6, 8), 5 / math.sqrt(125), 1.0),  # scaled: same direction, another strength
        ((1, 0), (1, 1), 1 / math.sqrt(3), 1 / math.sqrt(2)),
        ((0, 0), (0, 0), 0.0, 1.0),
        ((0, 0), (1, 0), 1.0, 0.0),
    ],
)
def test_distances_by_hand(first: tuple[int, ...], second: tuple[int, ...], distance: float, cosine: float) -> None:
    assert normalized_l2(frame(*first), frame(*second)) == pytest.approx(distance, abs=1e-12)
    assert cosine_similarity(frame(*first), frame(*second)) == pytest.approx(cosine, abs=1e-12)


def test_distance_is_at_least_what_a_positive_cosine_says() -> None:
    a = noise(0, 4, 8, 8)
    b = a + noise(1, 4, 8, 8)
    b_equal_norm = b * np.linalg.norm(a) / np.linalg.norm(b)
    assert normalized_l2(a, b_equal_norm) == pytest.approx(math.sqrt(1 - cosine_similarity(a, b_equal_norm)))
    for scale in (0.1, 3.0):
        assert normalized_l2(a, scale * b) > math.sqrt(1 - cosine_similarity(a, scale * b))


def test_adjacent_mse_of_a_ramp() -> None:
    latents = np.ones((2, 4, 3, 3)) * np.array([0.0, 1.0, 3.0, 3.0])[None, :, None, None]
    assert adjacent_mse(latents) == pytest.approx((1.0, 4.0, 0.0))
    assert measure_pairs(latents).mse == pytest.approx((1.0, 4.0, 0.0))


def test_measures_need_two_frames() -> None:
    with pytest.raises(ValueError, match=r"at least 2 frames, not \(2, 1, 3, 3\)"):
        measure_pairs(np.zeros((2, 1, 3, 3)))


@pytest.mark.parametrize("sigma", [1.0, 0.8887, 0.5, 0.3868, 0.0])
def test_noise_formula_against_a_large_sample(sigma: float) -> None:
    x0 = np.cumsum(0.3 * noise(2, 8, 5, 64, 64), axis=1)
    x_t = (1 - sigma) * x0 + sigma * noise(3, *x0.shape)
    expected = independent_noise_mse(sigma, float(np.mean(adjacent_mse(x0))))
    assert float(np.mean(adjacent_mse(x_t))) == pytest.approx(expected, rel=0.02)


def test_noise_formula_at_the_switch_of_the_twenty_step_grid() -> None:
    sigmas = sigma_grid("unipc", steps=20, shift=12.0).sigmas
    assert [round(independent_noise_mse(sigmas[i], 0.0), 2) for i in (0, 12, 19)] == [2.0, 1.58, 0.3]


def test_phases_of_the_founding_documents_and_of_other_step_counts() -> None:
    assert phase_ranges(20) == {"early": range(1, 6), "middle": range(6, 11), "late": range(11, 21)}
    for steps in range(1, 41):
        assert [n for numbers in phase_ranges(steps).values() for n in numbers] == list(range(1, steps + 1))
    assert phase_means(list(range(1, 21))) == {"early": 3.0, "middle": 8.0, "late": 15.5}
    assert phase_means([7.0]) == {"early": 7.0, "middle": None, "late": None}


@pytest.mark.parametrize(
    ("curve", "meeting"),
    [
        ([9, 1.0, 1.0, 1.0], 0),
        ([9, 2.0, 1.0, 1.0], 1),
        ([9, 1.0, 2.0, 1.01], 2),  # together, apart, together again: only the last meeting counts
        ([9, 2.0, 2.0, 2.0], None),
    ],
)
def test_curves_meet(curve: list[float], meeting: int | None) -> None:
    assert steps_until_meeting(curve, [1.0] * 4, start=1, tolerance=0.05) == meeting


def test_the_solvable_video_is_a_flow() -> None:
    video, start = GaussianVideo.with_correlation(0.9, 13), noise(4, 2, 13, 4, 4)
    assert np.allclose(video.at(1.0, start).x_t, start)
    for sigma in (0.9, 0.5, 0.1):
        state, step = video.at(sigma, start), 1e-6
        assert np.allclose(state.x_t, (1 - sigma) * state.x0 + sigma * state.eps)
        slope = (video.at(sigma + step, start).x_t - video.at(sigma - step, start).x_t) / (2 * step)
        assert np.allclose(slope, state.eps - state.x0, atol=1e-6)


def test_the_solvable_video_ends_with_its_own_correlation() -> None:
    final = GaussianVideo.with_correlation(0.95, 13).at(0.0, noise(5, 16, 13, 32, 32)).x_t
    assert float(np.var(final)) == pytest.approx(1.0, rel=0.05)
    assert float(np.mean(adjacent_mse(final))) == pytest.approx(0.1, rel=0.05)
