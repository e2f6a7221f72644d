"""Frame, size and token arithmetic: pixel frames to latent frames to tokens, and the frames that half-frame keeps."""

from dataclasses import dataclass

from wan.configs import TaskConfig
from wan.errors import InvalidInput

MAX_POSITIONS = 1024
"""Rows of the denoiser's table of rotary positions, for each of the three axes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The shape of one video: pixels, and what they become behind the VAE (strides t, h, w) and the patches."""

    pixel_frames: int
    height: int
    width: int
    latent_channels: int
    vae_stride: tuple[int, int, int]
    patch_size: tuple[int, int, int]

    @property
    def latent_frames(self) -> int:
        """The first latent frame covers one pixel frame, every further one ``vae_stride[0]``."""
        return (self.pixel_frames - 1) // self.vae_stride[0] + 1

    @property
    def latent_height(self) -> int:
        return self.height // self.vae_stride[1]

    @property
    def latent_width(self) -> int:
        return self.width // self.vae_stride[2]

    def latent_shape(self, latent_frames: int | None = None) -> tuple[int, int, int, int]:
        """(C, F, h, w) of the latents, with all frames or the given number of them."""
        frames = self.latent_frames if latent_frames is None else latent_frames
        return self.latent_channels, frames, self.latent_height, self.latent_width

    def tokens(self, latent_frames: int) -> int:
        """Sequence length of one forward over ``latent_frames`` latent frames."""
        frames, rows, columns = self.patch_size
        return (latent_frames // frames) * (self.latent_height // rows) * (self.latent_width // columns)


def geometry_for(config: TaskConfig, *, size: tuple[int, int], frame_num: int) -> Geometry:
    """The shape of a task's video of (width, height) pixels; ``InvalidInput`` when its strides do not allow the size.

    ``frame_num`` is brought to what the task can make: see ``adjusted_frame_num``.
    """
    _refuse_bad_size(config, size)
    return Geometry(
        pixel_frames=adjusted_frame_num(config, frame_num),
        height=size[1],
        width=size[0],
        latent_channels=config.latent_channels,
        vae_stride=config.vae_stride,
        patch_size=config.patch_size,
    )


def adjusted_frame_num(config: TaskConfig, frame_num: int) -> int:
    """One frame for image tasks and where one is asked for, otherwise the nearest 4n+1, at least 5.

    ``InvalidInput`` below 1, and for more latent frames than the denoiser has positions.
    """
    if frame_num < 1:
        raise InvalidInput(f"--frame_num {frame_num} must be at least 1 (videos have 4n+1 frames, for example 81)")
    most = (MAX_POSITIONS - 1) * config.vae_stride[0] + 1
    if frame_num > most:
        raise InvalidInput(
            f"--frame_num {frame_num} must be at most {most}: the denoiser has {MAX_POSITIONS} positions in time"
        )
    if config.is_image_task or frame_num == 1:
        return 1
    return nearest_frame_num(frame_num, config.vae_stride[0])


def nearest_frame_num(frame_num: int, stride: int = 4) -> int:
    """The nearest pixel frame count of the form 4n+1, at least 5; a tie goes to the longer video."""
    return max(stride + 1, (frame_num - 1 + stride // 2) // stride * stride + 1)


def half_latent_frames(latent_frames: int) -> int:
    """ceil(L/2): how many latent frames the high-noise expert works on in half-frame generation."""
    return (latent_frames + 1) // 2


def kept_frames(latent_frames: int, kept: int) -> list[int]:
    """Indices of the kept latent frames among all: every frame, or 0, 2, 4, ... when ``kept`` is ceil(L/2).

    Index 0 is always kept: it stands for one pixel frame where the others stand for four.
    """
    if kept == latent_frames:
        return list(range(latent_frames))
    assert kept == half_latent_frames(latent_frames), (latent_frames, kept)
    return list(range(0, latent_frames, 2))


def completed_sources(latent_frames: int, kept: int) -> list[int]:
    """For every completed frame the kept frame it is copied from: 0,0,1,1,...,n-1 (odd L) or every frame twice."""
    if kept == latent_frames:
        return list(range(latent_frames))
    assert kept == half_latent_frames(latent_frames), (latent_frames, kept)
    return [index // 2 for index in range(latent_frames)]


def kept_pixel_frames(pixel_frames: int, *, stride: int = 4) -> tuple[bool, ...]:
    """For every pixel frame whether it stands behind a latent frame that half-frame generation keeps (0, 2, 4, ...).

    The first latent frame stands for one pixel frame, each other one for ``stride``.
    """
    return tuple((index + stride - 1) // stride % 2 == 0 for index in range(pixel_frames))


def _refuse_bad_size(config: TaskConfig, size: tuple[int, int]) -> None:
    multiples = config.size_multiple
    for side, pixels, multiple in zip(("width", "height"), size, multiples, strict=True):
        if pixels > MAX_POSITIONS * multiple:
            raise InvalidInput(
                f"--size {size[0]}*{size[1]} has a {side} of {pixels} pixels, and {MAX_POSITIONS * multiple} are the "
                f"most: the denoiser has {MAX_POSITIONS} positions on each side"
            )
    if all(pixels > 0 and pixels % multiple == 0 for pixels, multiple in zip(size, multiples, strict=True)):
        return
    nearest = [
        max(multiple, round(pixels / multiple) * multiple) for pixels, multiple in zip(size, multiples, strict=True)
    ]
    raise InvalidInput(
        f"--size {size[0]}*{size[1]} must have a width in multiples of {multiples[0]} and a height in multiples of "
        f"{multiples[1]} for --task {config.name}; the nearest is {nearest[0]}*{nearest[1]}"
    )
