"""The feature space in which sets of demo clips are compared: fourteen pooled numbers of colour, detail and motion.

Each is a plain statistic of the decoded clip, so that a distance in this space can be read; none is learned.
"""

import numpy as np

FEATURES = (
    "red",
    "green",
    "blue",
    "red_spread",
    "green_spread",
    "blue_spread",
    "detail",
    "motion",
    "jerk",
    "size",
    "growth",
    "travel_x",
    "travel_y",
    "bounce",
)
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_POOL = 4  # frames, rows and columns
_RING = 1  # squares: the border in which the background is read
_LEAST = 1e-4
_EDGE = 5  # growth and travel go from the first to the last fifth of the frames


def clip_features(video: np.ndarray) -> np.ndarray:
    """The features (14,), in the order of ``FEATURES``, of a clip (N, H, W, 3) in [0, 1], H and W multiples of 4.

    N is at least 12. Everything is read from means over 4 frames of squares of 4x4 pixels, in which the texture and the
    flicker of the VAE's decoder hardly show: what is compared is the scene. Colour: mean and standard deviation of each
    channel. ``detail``: mean |gradient| of the luminance L. ``motion`` and ``jerk``: mean |L[f+1] - L[f]| and
    |L[f+2] - 2 L[f+1] + L[f]|.

    The object is what differs from the border's median colour: ``size`` the log of its share of the picture, ``growth``
    the log ratio of that from the first to the last fifth of the clip, ``travel_x`` and ``travel_y`` how far its centre
    moves between them in picture widths and heights, ``bounce`` how far the centre's height scatters about a straight
    track.
    """
    pixels = _pooled(video.astype(np.float64))
    light = pixels @ _LUMINANCE
    colour = (*pixels.mean(axis=(0, 1, 2)), *pixels.std(axis=(0, 1, 2)))
    detail = np.abs(np.diff(light, axis=1)).mean() + np.abs(np.diff(light, axis=2)).mean()
    motion, jerk = (np.abs(np.diff(light, n=order, axis=0)).mean() for order in (1, 2))
    return np.array([*colour, detail, motion, jerk, *_object_features(pixels)])


def _pooled(video: np.ndarray) -> np.ndarray:
    """Means over cubes of ``_POOL`` frames, rows and columns: (N, H, W, 3) to (N // 4, H / 4, W / 4, 3).

    Frames that are over are left out at the beginning: the first latent frame stands for one pixel frame alone.
    """
    frames, height, width, channels = (video.shape[0] // _POOL, *video.shape[1:])
    whole = video[len(video) - frames * _POOL :]
    cubes = whole.reshape(frames, _POOL, height // _POOL, _POOL, width // _POOL, _POOL, channels)
    return cubes.mean(axis=(1, 3, 5))


def _object_features(pixels: np.ndarray) -> tuple[float, ...]:
    """Size, growth, travel in x and y, and bounce."""
    cover = _cover(pixels)
    share = cover.mean(axis=(1, 2)) + _LEAST
    height, width = cover.shape[1:]
    mass = share * height * width
    x = (cover.sum(axis=1) * (np.arange(width) + 0.5)).sum(axis=1) / (mass * width)
    y = (cover.sum(axis=2) * (np.arange(height) + 0.5)).sum(axis=1) / (mass * height)
    edge = max(1, len(share) // _EDGE)
    growth = np.log(share[-edge:].mean() / share[:edge].mean())
    travel = (float(track[-edge:].mean() - track[:edge].mean()) for track in (x, y))
    time = np.linspace(-0.5, 0.5, len(y))
    rise = (y * time).sum() / max(np.square(time).sum(), _LEAST)
    bounce = (y - y.mean() - rise * time).std()
    return float(np.log(share.mean())), float(growth), *travel, float(bounce)


def _cover(pixels: np.ndarray) -> np.ndarray:
    """How far every pixel is from the border's median colour, (N, H, W) in [0, 1]: the clip's farthest is 1."""
    ring = np.ones(pixels.shape[1:3], dtype=bool)
    ring[_RING:-_RING, _RING:-_RING] = False
    distance = np.linalg.norm(pixels - np.median(pixels[:, ring], axis=(0, 1)), axis=-1)
    relative = distance / max(float(distance.max()), _LEAST)
    return np.where(relative > 0.15, relative, 0.0)
