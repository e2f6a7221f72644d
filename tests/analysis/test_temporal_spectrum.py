"""The spectrum over time: white noise is flat, a still video has one band, what alternates is in the upper half."""

import numpy as np
import pytest

from wan.analysis.temporal_spectrum import temporal_power, upper_share, upper_visible_sigma, visible_sigma

FRAMES = 13


def test_white_noise_has_the_same_power_in_every_band() -> None:
    noise = np.random.default_rng(0).standard_normal((4, 16, FRAMES, 16, 16))
    power = temporal_power(noise)
    assert power == pytest.approx(np.ones(FRAMES), rel=0.03)
    assert power.sum() == pytest.approx(FRAMES * np.square(noise).mean())
    assert upper_share(power) == pytest.approx(6 / 12, abs=0.01)
    assert upper_visible_sigma(power) == pytest.approx(0.5, abs=0.01)


def test_a_still_video_is_all_in_the_first_band() -> None:
    power = temporal_power(np.full((1, FRAMES, 2, 2), 3.0))
    assert power[0] == pytest.approx(9.0 * FRAMES)
    assert power[1:] == pytest.approx(np.zeros(FRAMES - 1), abs=1e-12)
    assert upper_share(np.eye(FRAMES)[0]) == 0.0


def test_slow_is_in_the_lower_and_alternating_in_the_upper_half() -> None:
    frames = np.arange(FRAMES)
    slow = np.cos(np.pi * (2 * frames + 1) / (2 * FRAMES))[None, :, None, None]
    fast = ((-1.0) ** frames)[None, :, None, None]
    assert upper_share(temporal_power(slow)) == pytest.approx(0.0, abs=1e-12)
    assert upper_share(temporal_power(fast)) > 0.9


def test_a_band_is_visible_where_signal_and_noise_are_equal() -> None:
    for power in (0.01, 1.0, 25.0):
        sigma = visible_sigma(power)
        assert (1 - sigma) ** 2 * power == pytest.approx(sigma**2)
    assert upper_visible_sigma(np.ones(1)) == 0.0
