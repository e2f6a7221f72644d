"""Pictures that are cut, flipped, too large, of another kind or no picture at all, each made from a good one."""

import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

_SIZE = (96, 64)
_CUTS = (0.02, 0.1, 0.5, 0.9)
_FLIPS = 6
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureCase:
    """``make`` puts the picture at a path. ``may_pass``: what is left may still be a picture, which is then taken."""

    name: str
    make: Callable[[Path], object]
    may_pass: bool = False


def all_picture_cases() -> list[PictureCase]:
    """Every case, in an order that never changes."""
    return [*_cut(), *_flipped(), *_declared_huge(), *_other_kinds(), *_no_files()]


def _saved(kind: str) -> bytes:
    stream = BytesIO()
    picture = Image.effect_noise(_SIZE, 80).convert("RGB")
    picture.save(stream, format=kind)
    return stream.getvalue()


def _written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _cut() -> Iterator[PictureCase]:
    for kind in _FORMATS:
        whole = _saved(kind)
        for share in _CUTS:
            short = whole[: int(share * len(whole))]
            yield PictureCase(name=f"{kind} cut at {share:.0%}", make=_written(short))


def _flipped() -> Iterator[PictureCase]:
    """Some bytes of every format are changed, half of them in the header; pixels may come out wrong, no more."""
    chance = random.Random(0)
    for kind in _FORMATS:
        whole = _saved(kind)
        for number in range(_FLIPS):
            damaged = bytearray(whole)
            reach = 64 if number % 2 else len(whole)
            for _ in range(4):
                damaged[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            yield PictureCase(name=f"{kind} flipped, {number + 1}", make=_written(bytes(damaged)), may_pass=True)


def _declared_huge() -> Iterator[PictureCase]:
    for side in (0, 20_000, 2**31 - 1):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        png = (
            b"\x89PNG\r\n\x1a\n"
            + _chunk(b"IHDR", header)
            + _chunk(b"IDAT", zlib.compress(b"\0"))
            + _chunk(b"IEND", b"")
        )
        yield PictureCase(name=f"PNG of {side}*{side}", make=_written(png))
    bomb = zlib.compress(b"\0" * 50_000_000, 9)
    header = struct.pack(">IIBBBBB", *_SIZE, 8, 2, 0, 0, 0)
    text = (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"zTXt", b"Comment\0\0" + bomb) + _chunk(b"IEND", b"")
    )
    yield PictureCase(name="PNG whose comment unpacks to 50 MB", make=_written(text))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _other_kinds() -> Iterator[PictureCase]:
    trap = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch TRAPPED) (w) file\nshowpage\n"
    contents = {
        "nothing": b"",
        "text": b"a red circle\n",
        "bytes of chance": random.Random(1).randbytes(4096),
        "SVG with a script": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "a web page": b"<!doctype html><script>alert(1)</script>",
        "PostScript with a pipe": trap,
        "PDF": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        "a ZIP archive": b"PK\x03\x04" + b"\0" * 60,
        "an mp4": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 60,
        "a pickle": b"cos\nsystem\n(S'touch TRAPPED'\ntR.",
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }
    for name, content in contents.items():
        yield PictureCase(name=f"{name}, called .png", make=_written(content))


def _no_files() -> Iterator[PictureCase]:
    yield PictureCase(name="no file", make=lambda path: None)
    yield PictureCase(name="a folder", make=lambda path: path.mkdir())
    yield PictureCase(name="a pipe that nobody writes to", make=os.mkfifo)
    yield PictureCase(name="a link to itself", make=lambda path: path.symlink_to(path.name))
    yield PictureCase(name="a device", make=lambda path: path.symlink_to("/dev/zero"))
