"""Videos (H.264 in mp4) and pictures (PNG) that carry the settings they were made with."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from wan.errors import InvalidInput, NumericalError
from wan.runs.atomic import atomic_path
from wan.runs.record import PARAMETERS
from wan.texts import encodable
from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import MALFORMED, Refused, reason_of
from wan.untrusted.regular import open_regular, why_unusable

if TYPE_CHECKING:
    import torch

CRF = 15  # close to visually lossless; 18 already blurs the edges of small, saturated shapes
_THREADS = 4
"""A fixed number, because the stream depends on it."""
_ENCODER = {"crf": str(CRF), "x264-params": "mbtree=0"}
"""Equal frames make equal files. x264's mbtree is left out, because with AVX-512 it does not repeat itself: the same
frames at 832*480 came out as five different files in eight encodes."""

_LAYOUT = "+faststart+use_metadata_tags"
"""The index goes first, so that a browser plays the file while it loads; tags may have any name."""
_NO_VIDEO = "{path} cannot be read as a video ({reason}): give the mp4 of a finished run"
_NO_SETTINGS = "{path} carries no settings: it was not written by this program, or re-encoded"

_UNREADABLE: tuple[type[Exception], ...] = (
    *MALFORMED,
    av.FFmpegError,
    SyntaxError,
    Image.DecompressionBombError,
)
"""What PyAV and Pillow raise for damaged files."""


def to_uint8(video: "torch.Tensor") -> np.ndarray:
    """(C, N, H, W) in [-1, 1] to (N, H, W, C) uint8, rounded; NumericalError when a value is not finite."""
    channels, pixel_frames, height, width = video.shape
    result = np.empty((pixel_frames, height, width, channels), dtype=np.uint8)
    # One frame at a time: a float copy of 81 frames at 720p takes 0.9 GB.
    for index in range(pixel_frames):
        frame = video[:, index].detach().cpu().float().numpy()
        if not np.isfinite(frame).all():
            raise NumericalError(f"frame {index} of the decoded video is not finite: decode in float32 (--dtype)")
        result[index] = np.rint((frame.clip(-1.0, 1.0) + 1.0) * 127.5).transpose(1, 2, 0)
    return result


def write_video(
    path: Path,
    video: "torch.Tensor | Iterable[torch.Tensor]",
    *,
    fps: int,
    metadata: Mapping[str, str],
    overwrite: bool = True,
) -> None:
    """Write (3, N, H, W) in [-1, 1], or the pieces of it as they come, as ``write_frames`` does; OSError when that
    fails."""
    pieces = video.split(1, dim=1) if hasattr(video, "split") else video
    frames = (frame for piece in pieces for frame in to_uint8(piece))
    write_frames(path, frames, fps=fps, metadata=metadata, overwrite=overwrite)


def write_frames(
    path: Path, frames: Iterable[np.ndarray], *, fps: int, metadata: Mapping[str, str], overwrite: bool = True
) -> None:
    """Write frames (H, W, 3) uint8 as H.264 mp4, ``metadata`` as JSON in its ``comment``; OSError when that fails.

    What other programs look for under a name of its own (``PARAMETERS``) becomes a tag beside ``comment``. H and W must
    be even (yuv420p halves the colour planes).
    """
    own = {name: text for name, text in metadata.items() if name != PARAMETERS}
    tags = {"comment": json.dumps(own, ensure_ascii=True)}
    if PARAMETERS in metadata:
        tags[PARAMETERS] = encodable(metadata[PARAMETERS])
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            _encode(temporary, frames, fps=fps, tags=tags)
        except av.FFmpegError as error:
            raise OSError(f"cannot write the video {path}: {error}") from error


def read_video(path: Path) -> np.ndarray:
    """All frames of a video file as (N, H, W, 3) uint8; InvalidInput when it is missing or damaged."""
    with _opened(path) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def read_video_metadata(path: Path) -> dict[str, str]:
    """The settings that ``write_video`` stored; InvalidInput when the file has none.

    The file may be anybody's: it is opened as a regular file and as mp4, so that nothing in it can name another file or
    an address to be opened.
    """
    if reason := why_unusable(path):
        raise InvalidInput(_NO_VIDEO.format(path=path, reason=reason))
    try:
        with open_regular(path) as file, av.open(file, format="mp4") as container:
            tags = dict(container.metadata)
        found = parse_json(tags.get("comment", "").encode("utf-8", errors="surrogateescape"))
    except Refused as error:
        raise InvalidInput(_NO_SETTINGS.format(path=path)) from error
    except _UNREADABLE as error:
        raise InvalidInput(_NO_VIDEO.format(path=path, reason=reason_of(error))) from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise InvalidInput(_NO_SETTINGS.format(path=path))
    return found | ({PARAMETERS: tags[PARAMETERS]} if PARAMETERS in tags else {})


def read_settings(path: Path) -> dict[str, str]:
    """The settings that an mp4 or a PNG carries; InvalidInput when it has none."""
    if path.suffix.lower() != ".png":
        return read_video_metadata(path)
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as picture:
            found = {str(key): str(value) for key, value in getattr(picture, "text", {}).items()}
    except _UNREADABLE as error:
        raise InvalidInput(
            f"{path} cannot be read as a picture ({reason_of(error)}): give the PNG of a finished run"
        ) from error
    if not found:
        raise InvalidInput(_NO_SETTINGS.format(path=path))
    return found


def write_image(path: Path, image: "torch.Tensor", *, metadata: Mapping[str, str], overwrite: bool = True) -> None:
    """Write (C, 1, H, W) or (C, H, W) in [-1, 1] as PNG, ``metadata`` as its text chunks; OSError when that fails."""
    video = image if image.ndim == 4 else image.unsqueeze(1)
    assert video.shape[1] == 1, video.shape
    chunks = PngInfo()
    for key, value in metadata.items():
        chunks.add_itxt(key, encodable(value))
    with atomic_path(path, overwrite=overwrite) as temporary:
        Image.fromarray(to_uint8(video)[0]).save(temporary, format="PNG", pnginfo=chunks)


def save_pieces(
    path: Path,
    pieces: "Iterable[torch.Tensor]",
    *,
    is_image: bool,
    fps: int,
    metadata: Mapping[str, str],
    overwrite: bool = True,
) -> None:
    """Write the pieces (3, n, H, W) of a video as they come: as mp4, or one frame as PNG; OSError when that fails.

    Without ``overwrite`` a file that another process has made there meanwhile is kept (FileExistsError).
    """
    if is_image:
        write_image(path, next(iter(pieces)), metadata=metadata, overwrite=overwrite)
    else:
        write_video(path, pieces, fps=fps, metadata=metadata, overwrite=overwrite)


def _encode(path: Path, frames: Iterable[np.ndarray], *, fps: int, tags: Mapping[str, str]) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": _LAYOUT}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=fps, options=_ENCODER)
        stream.codec_context.thread_count, stream.codec_context.thread_type = _THREADS, ThreadType.FRAME
        coming = iter(frames)
        first = next(coming)
        assert first.shape[2] == 3 and first.shape[0] % 2 == 0 and first.shape[1] % 2 == 0, first.shape
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        # Untagged, a player guesses the matrix from the height and shows small videos in wrong colours.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.color_primaries = ColorPrimaries.BT709
        stream.codec_context.color_trc = ColorTrc.BT709
        for frame in chain([first], coming):
            container.mux(stream.encode(_to_bt709(frame)))
        container.mux(stream.encode())


def _to_bt709(frame: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_color_primaries=ColorPrimaries.BT709,
        dst_color_trc=ColorTrc.BT709,
        interpolation=Interpolation.AREA,
    )


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise InvalidInput(_NO_VIDEO.format(path=path, reason=error)) from error
