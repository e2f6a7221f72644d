"""Reads a clip: which colours, which shape and which motion it shows, from pixels alone.

Colours by the nearest palette word; the object's cover of each pixel by projection on the line between the two colours;
shape by the best overlap with circle, square and triangle of the same area at any angle; motion from the tracks of the
object's centre, area and orientation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from wan.demo_world.clips import SQUARE_HALF_SIDE, TRIANGLE_CIRCUMRADIUS, ClipBatch, coverage
from wan.demo_world.words import COLOUR_NAMES, COLOURS, SHAPES, Combination

RING = 3  # pixels: the border in which the background is read
SHAPE_FRAMES = 9
MIN_AREA = 40.0  # pixels
GROWTH = 1.5  # of the area
MIN_TRAVEL = 8.0  # pixels over the clip
MIN_BOUNCE = 2.5  # pixels of standard deviation about a straight track
MIN_TURN = math.radians(60)
UNCLEAR = "unclear"
# area in units of the squared radius of `clips`
_AREAS = {"circle": math.pi, "square": 4 * SQUARE_HALF_SIDE**2, "triangle": 0.75 * 3**0.5 * TRIANGLE_CIRCUMRADIUS**2}
_ANGLES = {"circle": (0.0, 1), "square": (math.pi / 2, 15), "triangle": (2 * math.pi / 3, 20)}
_SYMMETRY = {"square": 4, "triangle": 3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the detector saw; any word can be "unclear"."""

    shape: str
    colour: str
    motion: str
    background: str

    def agrees(self, truth: Combination) -> dict[str, bool]:
        """Attribute by attribute, and all of them."""
        parts = {
            name: getattr(self, name) == getattr(truth, name) for name in ("colour", "background", "motion", "shape")
        }
        return parts | {"all_four": all(parts.values())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracks:
    """Per frame: the object's centre in pixels, its area in pixels and its turn in radians (zero for a circle)."""

    x: torch.Tensor
    y: torch.Tensor
    area: torch.Tensor
    turn: torch.Tensor


def read_clip(video: torch.Tensor) -> Reading:
    """Reads one clip (3, F, H, W) in [0, 1]."""
    background, background_rgb = _background(video)
    colour, object_rgb = _object_colour(video, background, background_rgb)
    if object_rgb is None:
        return Reading(shape=UNCLEAR, colour=UNCLEAR, motion=UNCLEAR, background=background)
    cover = _cover(video, background_rgb, object_rgb)
    shape = _shape(cover)
    motion = _motion(_tracks(cover, shape))
    return Reading(shape=shape, colour=colour, motion=motion, background=background)


def _background(video: torch.Tensor) -> tuple[str, torch.Tensor]:
    """The commonest palette word in the border, and the median colour (3,) of its pixels."""
    ring = torch.ones(video.shape[-2:], dtype=torch.bool)
    ring[RING:-RING, RING:-RING] = False
    pixels = video[:, :, ring].flatten(1).T
    words = _nearest(pixels)
    word = int(words.bincount(minlength=len(COLOUR_NAMES)).argmax())
    return COLOUR_NAMES[word], pixels[words == word].median(dim=0).values


def _object_colour(
    video: torch.Tensor, background: str, background_rgb: torch.Tensor
) -> tuple[str, torch.Tensor | None]:
    """The commonest palette word among pixels that are far from the background, and their median colour (3,)."""
    pixels = video.flatten(1).T
    distance = (pixels - background_rgb).norm(dim=1)
    far = pixels[
        distance > max(0.25, 0.6 * float(distance.quantile(0.98) if len(distance) < 2**24 else distance.max()))
    ]
    if len(far) < MIN_AREA * video.shape[1] / 2:
        return UNCLEAR, None
    counts = _nearest(far).bincount(minlength=len(COLOUR_NAMES))
    counts[COLOUR_NAMES.index(background)] = 0
    word = int(counts.argmax())
    chosen = far[_nearest(far) == word]
    return COLOUR_NAMES[word], (chosen if len(chosen) else far).median(dim=0).values


def _nearest(pixels: torch.Tensor) -> torch.Tensor:
    """(N, 3) -> index of the nearest palette colour (N,)."""
    return torch.cdist(pixels, torch.tensor(list(COLOURS.values()))).argmin(dim=1)


def _cover(video: torch.Tensor, background_rgb: torch.Tensor, object_rgb: torch.Tensor) -> torch.Tensor:
    """How far each pixel lies from the background's colour to the object's: (F, H, W) in [0, 1]."""
    axis = object_rgb - background_rgb
    along = torch.einsum("cfhw,c->fhw", video - background_rgb[:, None, None, None], axis) / axis.square().sum()
    along = along.clamp(0, 1)
    return torch.where(along > 0.15, along, torch.zeros_like(along))


def _shape(cover: torch.Tensor) -> str:
    """The shape whose best-turned template overlaps most, over frames where the object is whole."""
    area = cover.sum(dim=(1, 2))
    border = cover[:, 0].sum(1) + cover[:, -1].sum(1) + cover[:, :, 0].sum(1) + cover[:, :, -1].sum(1)
    whole = ((border < 1.0) & (area > MIN_AREA)).nonzero()[:, 0]
    if not len(whole):
        whole = (area > MIN_AREA).nonzero()[:, 0]
    if not len(whole):
        return UNCLEAR
    largest = whole[area[whole].argsort(descending=True)[: max(SHAPE_FRAMES, len(whole) // 2)]].sort().values
    frames = largest[torch.linspace(0, len(largest) - 1, min(SHAPE_FRAMES, len(largest))).round().long()]
    overlaps = {name: sum(_overlap(cover[frame], name) for frame in frames.tolist()) for name in SHAPES}
    return max(overlaps, key=overlaps.__getitem__)


def _overlap(cover: torch.Tensor, shape: str) -> float:
    """Intersection over union of a cover (H, W) with the best of the shape's templates of equal area and centre."""
    area = cover.sum()
    x, y = _centre(cover[None])
    period, count = _ANGLES[shape]
    angles = torch.arange(count) * (period / count)
    templates = coverage(
        ClipBatch(
            shape=torch.tensor([SHAPES.index(shape)]),
            x=x.expand(count)[None],
            y=y.expand(count)[None],
            radius=(area / _AREAS[shape]).sqrt().expand(count)[None],
            angle=angles[None],
            object_rgb=torch.ones(1, 3),
            background_rgb=torch.zeros(1, 3),
        )
    )[0]
    union = torch.maximum(templates, cover).sum(dim=(1, 2))
    return float((torch.minimum(templates, cover).sum(dim=(1, 2)) / union).max())


def _centre(cover: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centroids (F,), (F,) in pixels of covers (F, H, W)."""
    height, width = cover.shape[1:]
    mass = cover.sum(dim=(1, 2)).clamp(min=1e-6)
    x = (cover.sum(1) * (torch.arange(width) + 0.5)).sum(1) / mass
    y = (cover.sum(2) * (torch.arange(height) + 0.5)).sum(1) / mass
    return x, y


def _tracks(cover: torch.Tensor, shape: str) -> Tracks:
    """Follows the object through the frames where it is visible."""
    area = cover.sum(dim=(1, 2))
    cover, area = cover[area > MIN_AREA / 2], area[area > MIN_AREA / 2]
    x, y = _centre(cover)
    turn = torch.zeros_like(area)
    if shape in _SYMMETRY and len(area):
        turn = _turn(cover, x, y, symmetry=_SYMMETRY[shape])
    return Tracks(x=x, y=y, area=area, turn=turn)


def _turn(cover: torch.Tensor, x: torch.Tensor, y: torch.Tensor, *, symmetry: int) -> torch.Tensor:
    """Unwrapped orientation (F,) from the phase of the complex moment of the shape's symmetry."""
    height, width = cover.shape[1:]
    dx = torch.arange(width) + 0.5 - x[:, None, None]
    dy = (torch.arange(height) + 0.5)[:, None] - y[:, None, None]
    moment = (cover * torch.complex(dx.expand_as(cover), dy.expand_as(cover)) ** symmetry).sum(dim=(1, 2))
    steps = torch.angle(moment[1:] * moment[:-1].conj()) / symmetry
    return torch.cat([torch.zeros(1), steps.cumsum(0)])


def _motion(tracks: Tracks) -> str:
    """The one motion that the tracks show."""
    count = len(tracks.x)
    if count < 5:
        return UNCLEAR
    edge = max(1, count // 8)
    growth = float(tracks.area[-edge:].mean() / tracks.area[:edge].mean())
    if growth > GROWTH or growth < 1 / GROWTH:
        return "growing" if growth > 1 else "shrinking"
    travel_x, _ = _line(tracks.x)
    travel_y, scatter_y = _line(tracks.y)
    if scatter_y > MIN_BOUNCE:
        return "bouncing"
    wide, high = abs(travel_x), abs(travel_y)
    if max(wide, high) > MIN_TRAVEL:
        if max(wide, high) < 1.5 * min(wide, high):
            return UNCLEAR
        return ("right" if travel_x > 0 else "left") if wide > high else ("down" if travel_y > 0 else "up")
    return "spinning" if abs(_line(tracks.turn)[0]) > MIN_TURN else "still"


def _line(track: torch.Tensor) -> tuple[float, float]:
    """A straight line through a track: its rise over the whole track, and the standard deviation about it."""
    time = torch.linspace(-0.5, 0.5, len(track))
    rise = (track * time).sum() / time.square().sum()
    return float(rise), float((track - track.mean() - rise * time).square().mean().sqrt())
