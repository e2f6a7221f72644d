"""Metrics against closed forms, hand-worked cases and scikit-image."""

import math

import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from wan.analysis.frame_curves import frame_curves
from wan.analysis.metrics import (
    RELATIVE_EPSILON,
    absolute_error,
    motion_amount,
    motion_per_frame,
    motion_ratio,
    mse,
    psnr,
    psnr_per_frame,
    relative_error,
    ssim_per_frame,
    temporal_difference_error,
)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape or (4, 24, 32, 3), dtype=np.float32)


def levels(*values: float) -> np.ndarray:
    """(N, 16, 16, 3): every frame one grey level."""
    return np.ones((1, 16, 16, 3)) * np.array(values)[:, None, None, None]


def test_absolute_and_relative_error_by_hand() -> None:
    method, baseline = levels(0.5, 0.5), levels(0.4, 0.8)
    error = absolute_error(method, baseline)
    assert (error.mean, error.max, error.std) == pytest.approx((0.2, 0.3, 0.1))
    relative = relative_error(method, baseline, epsilon=0.1)
    assert (relative.mean, relative.max) == pytest.approx(((0.1 / 0.5 + 0.3 / 0.9) / 2, 0.3 / 0.9))


def test_relative_error_of_black_is_bounded() -> None:
    assert relative_error(levels(1.0), levels(0.0)).max == pytest.approx(1.0 / RELATIVE_EPSILON)


@pytest.mark.parametrize("difference", [0.5, 0.1, 0.001])
def test_mse_and_psnr_of_a_constant_difference(difference: float) -> None:
    method, baseline = levels(0.25 + difference, 0.25 + difference), levels(0.25, 0.25)
    assert mse(method, baseline) == pytest.approx(difference**2)
    assert psnr(method, baseline) == pytest.approx(-20 * math.log10(difference))


def test_psnr_averages_errors_before_the_logarithm() -> None:
    method, baseline = levels(0.1, 0.5), levels(0.0, 0.5)
    assert psnr_per_frame(method, baseline) == pytest.approx((20.0, math.inf))
    assert psnr(method, baseline) == pytest.approx(20.0 + 10 * math.log10(2))


def test_errors_agree_with_scikit_image() -> None:
    method, baseline = noise(0), noise(1)
    assert mse(method, baseline) == pytest.approx(mean_squared_error(method, baseline), rel=1e-6)
    assert psnr(method, baseline) == pytest.approx(peak_signal_noise_ratio(baseline, method, data_range=1), rel=1e-6)
    for value, a, b in zip(psnr_per_frame(method, baseline), method, baseline, strict=True):
        assert value == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), rel=1e-6)


def test_ssim_is_scikit_images_per_channel_and_frame() -> None:
    baseline = noise(1)
    method = (0.7 * baseline + 0.3 * noise(0)).astype(np.float32)
    settings = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for value, a, b in zip(ssim_per_frame(method, baseline), method, baseline, strict=True):
        channels = [structural_similarity(a[..., c], b[..., c], **settings) for c in range(3)]
        assert value == pytest.approx(np.mean(channels), abs=1e-6)


def test_ssim_of_constant_frames_is_the_luminance_term() -> None:
    a, b, c1 = 0.8, 0.4, 0.01**2
    assert ssim_per_frame(levels(a), levels(b)) == pytest.approx(((2 * a * b + c1) / (a**2 + b**2 + c1),))


def test_ssim_is_windowed() -> None:
    gradient = np.broadcast_to(np.linspace(0.1, 0.9, 128)[:, None], (128, 128))
    texture = 0.05 * (-1.0) ** np.add.outer(np.arange(128), np.arange(128))
    a, b = gradient + texture, gradient - texture
    c1, c2 = 0.01**2, 0.03**2
    whole = (2 * a.mean() * b.mean() + c1) * (2 * np.mean((a - a.mean()) * (b - b.mean())) + c2)
    whole /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (a.var() + b.var() + c2)
    # Over the whole picture the gradient hides that the texture is inverted; in a window it cannot.
    assert whole > 0.85
    assert ssim_per_frame(a[None, :, :, None], b[None, :, :, None])[0] < -0.3


def test_temporal_difference_sees_motion_and_not_brightness() -> None:
    baseline = levels(0.1, 0.2, 0.3)
    assert temporal_difference_error(baseline + 0.4, baseline) == pytest.approx(0.0)
    frozen = levels(0.2, 0.2, 0.2)
    assert temporal_difference_error(frozen, baseline) == pytest.approx(0.01)


def test_the_motion_of_every_pair_of_frames_has_the_amount_as_its_mean() -> None:
    video = np.zeros((4, 12, 12, 3))
    video[1], video[2], video[3] = 0.1, 0.4, 0.4
    assert motion_per_frame(video) == pytest.approx((0.1, 0.3, 0.0))
    assert np.mean(motion_per_frame(video)) == pytest.approx(motion_amount(video))
    assert motion_per_frame(video[:1]) == ()


def test_the_curves_of_a_single_frame_are_empty() -> None:
    picture, latent = np.zeros((1, 12, 12, 3)), np.ones((4, 1, 2, 2))
    found = frame_curves(picture, picture, method_latents=latent, baseline_latents=latent)
    empty = {"method": [], "baseline": []}
    assert found == {"motion": empty, "continuity": empty}


def test_motion_amount_and_ratio() -> None:
    baseline = levels(0.1, 0.2, 0.4)
    assert motion_amount(baseline) == pytest.approx(0.15)
    assert motion_ratio(levels(0.1, 0.1, 0.4), baseline) == pytest.approx(1.0)
    assert motion_ratio(levels(0.3, 0.3, 0.3), baseline) == 0.0
    assert motion_ratio(baseline, levels(0.3, 0.3, 0.3)) == math.inf
    assert motion_ratio(levels(0.3, 0.3), levels(0.6, 0.6)) == 1.0


def test_a_picture_has_no_motion() -> None:
    picture, other = levels(0.5), levels(0.4)
    assert (motion_amount(picture), motion_ratio(picture, other)) == (0.0, 1.0)
    assert temporal_difference_error(picture, other) == 0.0


def test_equal_videos_score_perfectly() -> None:
    video = noise(0)
    assert psnr(video, video) == math.inf and mse(video, video) == 0.0
    assert psnr_per_frame(video, video) == (math.inf,) * 4
    assert ssim_per_frame(video, video) == pytest.approx((1.0,) * 4)
    error = absolute_error(video, video)
    assert (error.mean, error.max, error.std) == (0.0, 0.0, 0.0)


def test_float32_sums_keep_their_digits() -> None:
    value = np.full((8, 256, 256, 3), 0.1, dtype=np.float32)
    assert absolute_error(value, np.zeros_like(value)).mean == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize(
    ("method", "baseline", "message"),
    [
        (levels(0.1, 0.2), levels(0.1), r"\(2, 16, 16, 3\) and \(1, 16, 16, 3\) cannot be compared"),
        (levels(0.1)[0], levels(0.1)[0], r"array \(N, H, W, C\)"),
        (levels(0.1)[:0], levels(0.1)[:0], "at least one frame"),
        (np.zeros((1, 16, 16, 3), dtype=np.uint8), levels(0.1), "not uint8: divide"),
        (levels(-0.5), levels(0.1), "span -0.5 to -0.5: rescale"),
        (levels(200.0), levels(0.1), "span 200 to 200"),
        (levels(math.nan), levels(0.1), "span nan to nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(method: np.ndarray, baseline: np.ndarray, message: str) -> None:
    for metric in (absolute_error, relative_error, mse, psnr, psnr_per_frame, ssim_per_frame):
        with pytest.raises(ValueError, match=message):
            metric(method, baseline)
    with pytest.raises(ValueError, match=message):
        temporal_difference_error(method, baseline)
