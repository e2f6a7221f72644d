"""Renders the demo clips: anti-aliased moving shapes on plain backgrounds, 49 frames of 64x64 at 16 fps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from wan.demo_world.words import COLOUR_NAMES, COLOURS, MOTION_NAMES, SHAPES, Combination

PIXEL_FRAMES = 49
SIZE = 64
FPS = 16
COLOUR_JITTER = 0.015
# equal-area half sizes in units of the circle's radius (the triangle is drawn a little smaller to fit the picture)
SQUARE_HALF_SIDE = math.sqrt(math.pi) / 2
TRIANGLE_CIRCUMRADIUS = 1.42


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBatch:
    """Everything that is drawn: tracks (B, F) in pixels and radians, colours (B, 3) in [0, 1], shape indices (B,)."""

    shape: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    radius: torch.Tensor
    angle: torch.Tensor
    object_rgb: torch.Tensor
    background_rgb: torch.Tensor


def as_indices(combinations: tuple[Combination, ...]) -> torch.Tensor:
    """(N, 4) integer tensor of shape, colour, motion and background indices."""
    return torch.tensor([c.indices() for c in combinations], dtype=torch.long)


def from_indices(row: torch.Tensor) -> Combination:
    """The combination of one (4,) row of `as_indices`."""
    shape, colour, motion, background = (int(value) for value in row)
    return Combination(
        shape=SHAPES[shape],
        colour=COLOUR_NAMES[colour],
        motion=MOTION_NAMES[motion],
        background=COLOUR_NAMES[background],
    )


def sample_clips(
    attributes: torch.Tensor, *, generator: torch.Generator, pixel_frames: int = PIXEL_FRAMES, start: int = 0
) -> ClipBatch:
    """Draws positions, sizes and speeds for (B, 4) attribute indices; frames start .. start + pixel_frames - 1."""
    count = attributes.shape[0]
    shape, colour, motion, background = attributes.unbind(dim=1)
    time = torch.arange(start, start + pixel_frames, dtype=torch.float32)[None]
    draw = _Uniform(count, generator)
    radius = draw(10.5, 14.0)
    along, across = _straight_track(draw, time)
    rest_x, rest_y = draw(20.0, 44.0), draw(20.0, 44.0)
    centre_x, centre_y = draw(26.0, 38.0), draw(26.0, 38.0)
    small, large = draw(6.0, 7.5), draw(15.0, 18.0)
    bounce_y = _bounce_track(draw, time)
    turn = time * draw(math.radians(4.75), math.radians(5.25))
    growth = small + (large - small) * time / (PIXEL_FRAMES - 1)
    decay = large - (large - small) * time / (PIXEL_FRAMES - 1)
    mirror = SIZE - along
    tracks = {  # x, y, radius, angle
        "still": (rest_x, rest_y, radius, 0.0),
        "right": (along, across, radius, 0.0),
        "left": (mirror, across, radius, 0.0),
        "up": (across, mirror, radius, 0.0),
        "down": (across, along, radius, 0.0),
        "growing": (centre_x, centre_y, growth, 0.0),
        "shrinking": (centre_x, centre_y, decay, 0.0),
        "bouncing": (rest_x, bounce_y, radius, 0.0),
        "spinning": (centre_x, centre_y, radius + 1.5, turn),
    }
    x, y, size, angle = (_select(motion, tracks, part, (count, pixel_frames)) for part in range(4))
    palette = torch.tensor(list(COLOURS.values()))
    jitter = lambda: (torch.rand(count, 3, generator=generator) * 2 - 1) * COLOUR_JITTER  # noqa: E731
    return ClipBatch(
        shape=shape,
        x=x,
        y=y,
        radius=size,
        angle=angle,
        object_rgb=(palette[colour] + jitter()).clamp(0, 1),
        background_rgb=(palette[background] + jitter()).clamp(0, 1),
    )


def render(clips: ClipBatch, *, size: int = SIZE) -> torch.Tensor:
    """Draws the clips: (B, 3, F, size, size) float32 in [0, 1]; a pixel's cover is clamp(1/2 - signed distance)."""
    cover = coverage(clips, size=size)[:, None]
    behind = clips.background_rgb[:, :, None, None, None]
    return behind + cover * (clips.object_rgb[:, :, None, None, None] - behind)


def coverage(clips: ClipBatch, *, size: int = SIZE) -> torch.Tensor:
    """The part of each pixel that the object covers: (B, F, size, size) in [0, 1]."""
    cover = torch.zeros(*clips.x.shape, size, size)
    for index, name in enumerate(SHAPES):
        chosen = (clips.shape == index).nonzero()[:, 0]
        if chosen.numel():
            u, v, radius = _local_coordinates(clips, chosen, size)
            cover[chosen] = (0.5 - _DISTANCES[name](u, v, radius)).clamp_(0, 1)
    return cover


class _Uniform:
    """Draws one uniform number per clip as (B, 1)."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self._count, self._generator = count, generator

    def __call__(self, low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(self._count, 1, generator=self._generator)


def _straight_track(draw: _Uniform, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Position along (B, F) and across (B, 1) the direction of travel: 0.42-0.78 px a frame, whole object in sight."""
    speed = draw(0.42, 0.78)
    travel = speed * (PIXEL_FRAMES - 1)
    slack = (40.0 - travel).clamp(min=3.0) / 2
    middle = SIZE / 2 + slack * draw(-1.0, 1.0)
    return middle - travel / 2 + speed * time, draw(20.0, 44.0)


def _bounce_track(draw: _Uniform, time: torch.Tensor) -> torch.Tensor:
    """Height (B, F) of a ball thrown again and again: floor - jump * |sin|, 20 to 26 frames a bounce."""
    floor, jump, period, phase = draw(44.0, 48.0), draw(17.0, 22.0), draw(20.0, 26.0), draw(0.0, 1.0)
    return floor - jump * (math.pi * (time / period + phase)).sin().abs()


def _select(motion: torch.Tensor, tracks: dict, part: int, shape: tuple[int, int]) -> torch.Tensor:
    """The chosen motion's track of every clip, (B, F)."""
    chosen = torch.zeros(shape)
    for index, name in enumerate(MOTION_NAMES):
        chosen = torch.where((motion == index)[:, None], torch.as_tensor(tracks[name][part]), chosen)
    return chosen


def _local_coordinates(
    clips: ClipBatch, chosen: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixel centres in the object's own frame, (b, F, size, size) twice, and its radius (b, F, 1, 1)."""
    centres = (torch.arange(size) + 0.5) * (SIZE / size)
    dx = centres[None, None, None, :] - clips.x[chosen][:, :, None, None]
    dy = centres[None, None, :, None] - clips.y[chosen][:, :, None, None]
    cos, sin = clips.angle[chosen].cos()[:, :, None, None], clips.angle[chosen].sin()[:, :, None, None]
    return cos * dx + sin * dy, cos * dy - sin * dx, clips.radius[chosen][:, :, None, None]


def _circle(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return (u.square() + v.square()).sqrt() - radius


def _square(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return torch.maximum(u.abs(), v.abs()) - radius * SQUARE_HALF_SIDE


def _triangle(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Equilateral, pointing up, centroid at the origin: the largest of three half-plane distances."""
    slanted = u.abs() * (math.sqrt(3) / 2) - v * 0.5
    return torch.maximum(slanted, v) - radius * (TRIANGLE_CIRCUMRADIUS / 2)


_DISTANCES = {"circle": _circle, "square": _square, "triangle": _triangle}
