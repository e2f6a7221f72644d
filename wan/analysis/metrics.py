"""How far a video is from its baseline: errors, PSNR, SSIM and motion, on float arrays (N, H, W, C) in [0, 1].

``method`` is the video that is judged, ``baseline`` the same-seed reference, both before mp4 coding.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from skimage.metrics import structural_similarity

# One level of an 8-bit picture: keeps the relative error of black pixels bounded (at most 255).
RELATIVE_EPSILON = 1.0 / 255.0
# Room for the rounding of a float16 or bfloat16 decoder.
_RANGE_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class AbsoluteError:
    """|method - baseline| over all values."""

    mean: float
    max: float
    std: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RelativeError:
    """|method - baseline| / (|baseline| + epsilon) over all values."""

    mean: float
    max: float


def absolute_error(method: np.ndarray, baseline: np.ndarray) -> AbsoluteError:
    """Mean, maximum and standard deviation of |method - baseline|."""
    _check_pair(method, baseline)
    error = np.abs(method - baseline)
    return AbsoluteError(mean=_mean(error), max=float(error.max()), std=float(error.std(dtype=np.float64)))


def relative_error(method: np.ndarray, baseline: np.ndarray, *, epsilon: float = RELATIVE_EPSILON) -> RelativeError:
    """Mean and maximum of |method - baseline| / (|baseline| + epsilon)."""
    _check_pair(method, baseline)
    error = np.abs(method - baseline) / (np.abs(baseline) + epsilon)
    return RelativeError(mean=_mean(error), max=float(error.max()))


def mse(method: np.ndarray, baseline: np.ndarray) -> float:
    """Mean squared error over all values."""
    _check_pair(method, baseline)
    return _mean(np.square(method - baseline))


def psnr(method: np.ndarray, baseline: np.ndarray) -> float:
    """10 log10(1 / MSE) in dB, MSE over the whole video; infinite when equal."""
    return _decibel(mse(method, baseline))


def psnr_per_frame(method: np.ndarray, baseline: np.ndarray) -> tuple[float, ...]:
    """PSNR of every frame in dB; their mean is not ``psnr``, which averages the errors first."""
    _check_pair(method, baseline)
    return tuple(_decibel(_mean(np.square(a - b))) for a, b in zip(method, baseline, strict=True))


def ssim_per_frame(method: np.ndarray, baseline: np.ndarray) -> tuple[float, ...]:
    """SSIM (Wang et al. 2004) of every frame, mean over channels; frames are at least 11 x 11.

    The paper's own window: Gaussian, sigma 1.5, 11 x 11, population covariance, K1 = 0.01, K2 = 0.03. (scikit-image's
    default is a flat 7 x 7 window; a formula over the whole picture's mean and variance is not SSIM.)
    """
    _check_pair(method, baseline)
    return tuple(_ssim(a, b) for a, b in zip(method, baseline, strict=True))


def temporal_difference_error(method: np.ndarray, baseline: np.ndarray) -> float:
    """MSE between the frame differences of both: wrong or missing motion, whatever the still picture; 0 for N = 1."""
    _check_pair(method, baseline)
    return _mean(np.square(np.diff(method, axis=0) - np.diff(baseline, axis=0)))


def motion_per_frame(video: np.ndarray) -> tuple[float, ...]:
    """Mean absolute difference of every two adjacent frames, N - 1 values; their mean is ``motion_amount``."""
    _check_video(video)
    return tuple(_mean(np.abs(b - a)) for a, b in pairwise(video))


def motion_amount(video: np.ndarray) -> float:
    """Mean absolute difference of adjacent frames; 0 for a frozen video or a single frame."""
    _check_video(video)
    return _mean(np.abs(np.diff(video, axis=0)))


def motion_ratio(method: np.ndarray, baseline: np.ndarray) -> float:
    """Motion relative to the baseline's: below 1 is calmer, 0 frozen; infinite when only the baseline is still."""
    amount, reference = motion_amount(method), motion_amount(baseline)
    if reference > 0.0:
        return amount / reference
    return math.inf if amount > 0.0 else 1.0


def _ssim(method: np.ndarray, baseline: np.ndarray) -> float:
    return float(
        structural_similarity(
            method,
            baseline,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _decibel(error: float) -> float:
    return math.inf if error == 0.0 else -10.0 * math.log10(error)


def _mean(values: np.ndarray) -> float:
    # A float32 sum over a whole video loses digits; no values (the frame differences of a picture) count as 0.
    return float(values.mean(dtype=np.float64)) if values.size else 0.0


def _check_pair(method: np.ndarray, baseline: np.ndarray) -> None:
    _check_video(method)
    _check_video(baseline)
    if method.shape != baseline.shape:
        raise ValueError(f"videos of shape {method.shape} and {baseline.shape} cannot be compared: make both alike")


def _check_video(video: np.ndarray) -> None:
    if video.ndim != 4 or 0 in video.shape:
        raise ValueError(f"a video is an array (N, H, W, C) with at least one frame, not {video.shape}")
    if not np.issubdtype(video.dtype, np.floating):
        raise ValueError(f"a video is measured in floats in [0, 1], not {video.dtype}: divide uint8 values by 255")
    low, high = float(video.min()), float(video.max())
    if not (low >= -_RANGE_TOLERANCE and high <= 1.0 + _RANGE_TOLERANCE):
        raise ValueError(f"a video is measured in [0, 1], but these values span {low:g} to {high:g}: rescale them")
